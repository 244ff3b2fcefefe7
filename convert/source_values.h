// What the bytes of a source's tensors mean: element types of safetensors, block formats of GGUF.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "convert/safetensors.h"
#include "quant/format.h"

namespace minke::convert {

/// One FP8 code: sign, 4 bits exponent (bias 7), 3 bits mantissa, no infinities, 0x7f and 0xff NaN.
/// Micikevicius et al., "FP8 formats for deep learning" (arXiv 2209.05433), table 1.
float decode_f8_e4m3(uint8_t code) noexcept;
/// One FP8 code: sign, 5 bits exponent (bias 15), 2 bits mantissa, infinities and NaN as in IEEE
/// 754.
float decode_f8_e5m2(uint8_t code) noexcept;

/// A row of n values is n / block_len consecutive blocks of block_bytes each.
struct SourceFormat {
  std::string_view name;
  size_t block_len = 1;
  size_t block_bytes = 1;
  /// n_blocks blocks to n_blocks * block_len values. Blocks may lie at any address.
  void (*decode)(const void* blocks, float* values, size_t n_blocks) noexcept = nullptr;
  std::optional<DType> dtype;  ///< GGUF's type of the same bytes, if it has one.

  /// F8_E4M3 blocks are what the weights were made as, not what became of them.
  bool is_quantized() const noexcept { return block_len > 1 && dtype != DType::kF8_E4M3; }
  uint64_t bytes(int64_t n_values) const noexcept {
    return static_cast<uint64_t>(n_values) / block_len * block_bytes;
  }
};
/// is_float(type) must hold.
SourceFormat source_format(SourceType type) noexcept;
/// Of a format that format_list.inc holds.
SourceFormat source_format(DType dtype) noexcept;

/// Index of the first value that is not within -limit..limit, limit >= 0; a NaN is not.
std::optional<size_t> find_beyond(std::span<const float> values, float limit) noexcept;
/// Index of the first NaN or infinity.
std::optional<size_t> find_non_finite(std::span<const float> values) noexcept;

}  // namespace minke::convert
