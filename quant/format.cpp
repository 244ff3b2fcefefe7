#include "quant/format.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cctype>

#include "quant/bf16.h"
#include "quant/f16.h"
#include "quant/f32.h"
#include "quant/f8_e4m3.h"
#include "quant/iq1_m.h"
#include "quant/iq1_s.h"
#include "quant/iq2_s.h"
#include "quant/iq2_xs.h"
#include "quant/iq2_xxs.h"
#include "quant/iq3_s.h"
#include "quant/iq3_xxs.h"
#include "quant/iq4_nl.h"
#include "quant/iq4_xs.h"
#include "quant/mxfp4.h"
#include "quant/q2_k.h"
#include "quant/q3_k.h"
#include "quant/q4_0.h"
#include "quant/q4_1.h"
#include "quant/q4_k.h"
#include "quant/q5_0.h"
#include "quant/q5_1.h"
#include "quant/q5_k.h"
#include "quant/q6_k.h"
#include "quant/q8_0.h"

namespace minke {
namespace {

static_assert(std::endian::native == std::endian::little, "blocks are mapped as files hold them");

#define MINKE_FORMAT(name, id, len, bytes) \
  static_assert(Block##name::kLen == len && sizeof(Block##name) == bytes);
#include "quant/format_list.inc"
#undef MINKE_FORMAT

template <class Block>
void decode_row(const void* blocks, float* values, size_t n_blocks) noexcept {
  const auto* block = static_cast<const Block*>(blocks);
  for (size_t i = 0; i < n_blocks; ++i) decode_block(block[i], values + i * Block::kLen);
}

template <class Block>
void encode_row(const float* values, const float* importance, void* blocks,
                size_t n_blocks) noexcept {
  auto* block = static_cast<Block*>(blocks);
  const auto weights = [importance](size_t first) {
    return importance != nullptr ? importance + first : nullptr;
  };
  if constexpr (requires { Block::kRule; }) {
    typename decltype(Block::kRule)::Codes codes[kEncodeBatch];
    for (size_t i = 0; i < n_blocks; i += kEncodeBatch) {
      const size_t n = std::min(kEncodeBatch, n_blocks - i);
      const size_t first = i * Block::kLen;
      search_codes(Block::kRule, values + first, weights(first), n, codes);
      for (size_t k = 0; k < n; ++k) pack_block(codes[k], block[i + k]);
    }
  } else {
    for (size_t i = 0; i < n_blocks; ++i) {
      const size_t first = i * Block::kLen;
      encode_block(values + first, weights(first), block[i]);
    }
  }
}

constexpr std::array kFormats = {
#define MINKE_FORMAT(name, id, len, bytes) \
  FormatTraits{DType::k##name, #name, len, bytes, decode_row<Block##name>, encode_row<Block##name>},
#include "quant/format_list.inc"
#undef MINKE_FORMAT
};

bool same_ignoring_case(std::string_view a, std::string_view b) noexcept {
  return std::ranges::equal(
      a, b, [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

}  // namespace

std::span<const FormatTraits> formats() noexcept { return kFormats; }

const FormatTraits* find_format(DType dtype) noexcept {
  const auto it = std::ranges::find(kFormats, dtype, &FormatTraits::dtype);
  return it == kFormats.end() ? nullptr : &*it;
}

const FormatTraits* find_format(std::string_view name) noexcept {
  const auto it = std::ranges::find_if(
      kFormats, [name](const FormatTraits& f) { return same_ignoring_case(f.name, name); });
  return it == kFormats.end() ? nullptr : &*it;
}

std::string_view dtype_name(DType dtype) noexcept {
  if (dtype == DType::kI32) return "I32";
  const FormatTraits* format = find_format(dtype);
  return format != nullptr ? format->name : "unknown type";
}

size_t row_bytes(DType dtype, size_t n) noexcept {
  if (dtype == DType::kI32) return n * sizeof(int32_t);
  const FormatTraits* format = find_format(dtype);
  return n / format->block_len * format->block_bytes;
}

}  // namespace minke
