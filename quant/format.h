// Block formats: how a row of weights is stored, and the scalar code that every other path is
// tested against. One format is one line of format_list.inc and one file of this folder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace minke {

/// Element type of a tensor. The values are GGUF's type ids; kI32 holds token ids and positions.
enum class DType : uint32_t {
#define MINKE_FORMAT(name, id, len, bytes) k##name = id,
#include "quant/format_list.inc"
#undef MINKE_FORMAT
  kI32 = 26,
};

/// Minke's own formats: ggml has none of these ids, and no other program reads them.
constexpr bool is_own_format(DType dtype) noexcept {
  return static_cast<uint32_t>(dtype) >> 16 == 0x4D4B;
}

/// What is known of a format. A row of n values (n a multiple of block_len) is n / block_len
/// consecutive blocks of block_bytes each.
struct FormatTraits {
  DType dtype;
  std::string_view name;  ///< As users and files write it: "Q4_K".
  size_t block_len;       ///< Values in a block.
  size_t block_bytes;     ///< Bytes of a block.
  // Blocks may lie at any address. Both functions give the same bits on every machine.
  /// Decodes n_blocks blocks to n_blocks * block_len floats.
  void (*decode)(const void* blocks, float* values, size_t n_blocks) noexcept;
  /// Encodes n_blocks * block_len finite floats. `importance`, when not null, holds one weight >= 0
  /// a value, and the encoder minimises the squared error weighted by it. Blocks are encoded
  /// independently of each other. What lies beyond a format's range becomes its largest number.
  void (*encode)(const float* values, const float* importance, void* blocks,
                 size_t n_blocks) noexcept;
};

/// All formats, in the order of format_list.inc.
std::span<const FormatTraits> formats() noexcept;

/// The traits of a format that format_list.inc holds; kI32 and unknown ids give nullptr.
const FormatTraits* find_format(DType dtype) noexcept;
/// By name, case-insensitive ("q4_k" finds Q4_K); nullptr if there is none.
const FormatTraits* find_format(std::string_view name) noexcept;

/// Name for messages; "I32" for kI32 and "type <id>" never occurs for a valid DType.
std::string_view dtype_name(DType dtype) noexcept;

/// Bytes of a row of n values. n must be a multiple of the format's block length.
size_t row_bytes(DType dtype, size_t n) noexcept;

}  // namespace minke
