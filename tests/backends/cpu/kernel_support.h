// What the kernel tests share: random blocks of every format and the reference product.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <span>
#include <string_view>
#include <vector>

#include "backends/cpu/isa.h"
#include "quant/format.h"
#include "quant/half.h"

namespace minke::test {

/// Memory aligned as kernels want it.
struct AlignedBytes {
  explicit AlignedBytes(size_t n_bytes) : storage(n_bytes + 64) {}
  void* data() {
    const auto address = reinterpret_cast<uintptr_t>(storage.data());
    return storage.data() + (64 - address % 64) % 64;
  }
  std::vector<uint8_t> storage;
};

inline std::vector<float> random_floats(std::mt19937& rng, size_t n, float scale = 1.0f) {
  std::normal_distribution<float> normal(0.0f, scale);
  std::vector<float> values(n);
  for (float& value : values) value = normal(rng);
  return values;
}

/// Byte offsets of the f16 numbers in a block.
inline std::vector<size_t> half_offsets(DType dtype) {
  switch (dtype) {
    case DType::kQ4_1:
    case DType::kQ5_1:
    case DType::kQ4_K:
    case DType::kQ5_K:
      return {0, 2};
    case DType::kQ2_K:
      return {80, 82};
    case DType::kQ3_K:
      return {108};
    case DType::kQ6_K:
      return {208};
    default:
      return {0};
  }
}

/// Sets every scale of a block to what draw() gives; MXFP4 takes the power of two below it.
template <class Draw>
void put_scales(DType dtype, const Draw& draw, uint8_t* block) {
  if (dtype == DType::kF8_E4M3) {
    const float scale = draw();
    std::memcpy(block, &scale, sizeof(scale));
    for (size_t i = 4; i < 68; ++i)
      if ((block[i] & 0x7f) == 0x7f) --block[i];  // a NaN
  } else if (dtype == DType::kMXFP4) {
    const float scale = std::fabs(draw());
    block[0] = static_cast<uint8_t>(scale > 0.0f ? 128 + std::ilogb(scale) : 0);
  } else if (dtype == DType::kIQ1_M) {  // Four bits in each of the last four words.
    const uint16_t half = f32_to_f16(draw());
    for (size_t i = 49, shift = 0; i < 56; i += 2, shift += 4)
      block[i] = static_cast<uint8_t>((block[i] & 15) | (half >> shift & 15) << 4);
  } else {
    for (const size_t offset : half_offsets(dtype)) {
      const uint16_t half = f32_to_f16(draw());
      std::memcpy(block + offset, &half, 2);
    }
  }
}

enum class Fill { kRandom, kZeros, kOnes, kZeroScale, kDenormalScale, kHugeScale };

/// n_rows rows of n_cols weights: random numbers for float formats, for block formats random bits
/// (or all zeros, or all ones) with f16 scales of the kind asked for.
inline std::vector<uint8_t> random_weights(std::mt19937& rng, DType dtype, int n_rows, int n_cols,
                                           Fill fill = Fill::kRandom) {
  const FormatTraits& format = *find_format(dtype);
  const size_t n = static_cast<size_t>(n_rows) * static_cast<size_t>(n_cols);
  std::vector<uint8_t> bytes(n / format.block_len * format.block_bytes);
  if (format.block_len == 1) {
    for (size_t i = 0; i < n; ++i) {
      const float value = std::normal_distribution<float>()(rng);
      const uint16_t f16 = f32_to_f16(value), bf16 = f32_to_bf16(value);
      if (dtype == DType::kF32) std::memcpy(&bytes[4 * i], &value, 4);
      if (dtype == DType::kF16) std::memcpy(&bytes[2 * i], &f16, 2);
      if (dtype == DType::kBF16) std::memcpy(&bytes[2 * i], &bf16, 2);
    }
    return bytes;
  }
  for (uint8_t& byte : bytes)
    byte = static_cast<uint8_t>(fill == Fill::kZeros ? 0 : fill == Fill::kOnes ? 0xFF : rng());
  const auto draw = [&] {
    float scale = 0.01f + static_cast<float>(rng() % 1000) / 1000.0f;
    if (fill == Fill::kZeroScale) scale = 0.0f;
    if (fill == Fill::kDenormalScale) scale = 0x1p-23f;
    if (fill == Fill::kHugeScale) scale = 65504.0f;
    return rng() % 2 == 0 ? scale : -scale;
  };
  for (size_t block = 0; block < bytes.size(); block += format.block_bytes)
    put_scales(dtype, draw, &bytes[block]);
  return bytes;
}

inline std::vector<float> decoded(DType dtype, const std::vector<uint8_t>& weights, size_t n) {
  std::vector<float> values(n);
  const FormatTraits& format = *find_format(dtype);
  format.decode(weights.data(), values.data(), n / format.block_len);
  return values;
}

inline std::vector<DType> all_formats() {
  std::vector<DType> dtypes;
  for (const FormatTraits& format : formats()) dtypes.push_back(format.dtype);
  return dtypes;
}

}  // namespace minke::test
