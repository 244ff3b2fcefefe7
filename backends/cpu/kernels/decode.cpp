#include "backends/cpu/kernels/decode.h"

#include <cstring>

#include "backends/cpu/kernels/decode_blocks.h"
#include "backends/cpu/kernels/unpack.h"
#include "backends/cpu/kernels/vector.h"
#include "quant/format.h"

namespace minke::cpu::MINKE_ISA_NS {
namespace {

constexpr int kChunk = 512;  // values unpacked at a time
constexpr int kMaxGroups = kChunk / 16;

inline int smaller(int a, int b) { return a < b ? a : b; }

/// Groups of kGroup values that share a scale. The same operations as those of the formats' own
/// decoders, so that cached rows have the same bits on every instruction set.
template <int kGroup>
void scale_groups(const Unpacker& u, const uint8_t* bytes, const float* scale, const float* min,
                  int n_groups, float* y) {
  const int offset = u.offset;
  for (int g = 0; g < n_groups; ++g, bytes += kGroup, y += kGroup) {
    const float s = scale[g];
    for (int i = 0; i < kGroup; ++i)
      y[i] = s * static_cast<float>(static_cast<int8_t>(bytes[i] - offset));
    if (u.has_min)
      for (int i = 0; i < kGroup; ++i) y[i] += min[g];
  }
}

template <int kGroup>
void decode_chunk(const Unpacker& u, const uint8_t* bytes, const float* scale, const float* min,
                  int n, float* y) {
  const int n_groups = n / kGroup, done = n_groups * kGroup;
  scale_groups<kGroup>(u, bytes, scale, min, n_groups, y);
  if (done == n) return;
  float last[kGroup];
  scale_groups<kGroup>(u, bytes + done, scale + n_groups, min + n_groups, 1, last);
  std::memcpy(y + done, last, static_cast<size_t>(n - done) * sizeof(float));
}

void decode_blocks(const Unpacker& u, const std::byte* blocks, int n, float* y) {
  uint8_t bytes[kChunk];
  float scale[kMaxGroups], min[kMaxGroups];
  for (int at = 0; at < n; at += kChunk) {
    const int m = smaller(n - at, kChunk), n_blocks = (m + u.block_len - 1) / u.block_len;
    u.unpack(blocks, n_blocks, bytes, scale, min);
    const auto decode = u.group == 32 ? decode_chunk<32> : decode_chunk<16>;
    decode(u, bytes, scale, min, m, y + at);
    blocks += static_cast<size_t>(n_blocks) * u.block_bytes;
  }
}

}  // namespace

void decode_rows(DType dtype, const void* rows, size_t row_stride, int n_rows, int n_values,
                 float* y, size_t y_stride) noexcept {
  const DecodeRow decode_row = find_decode_row(dtype);
  const Unpacker* unpacker = find_unpacker(dtype);
  const auto* row = static_cast<const std::byte*>(rows);
  for (int r = 0; r < n_rows; ++r, row += row_stride, y += y_stride) {
    if (decode_row != nullptr)
      decode_row(row, n_values, y);
    else if (unpacker != nullptr)
      decode_blocks(*unpacker, row, n_values, y);
    else if (dtype == DType::kF16)
      f16_to_f32_row(reinterpret_cast<const uint16_t*>(row), y, n_values);
    else if (dtype == DType::kBF16)
      bf16_to_f32_row(reinterpret_cast<const uint16_t*>(row), y, n_values);
    else  // F32
      std::memcpy(y, row, static_cast<size_t>(n_values) * sizeof(float));
  }
}

}  // namespace minke::cpu::MINKE_ISA_NS
