// BF16: the upper half of an f32.
#pragma once

#include "quant/half.h"

namespace minke {

//      15 14    7 6        0
//     [ s | exp   | fraction ]
struct [[gnu::packed]] BlockBF16 {
  static constexpr size_t kLen = 1;
  uint16_t bits;
};
static_assert(sizeof(BlockBF16) == 2);

inline void decode_block(const BlockBF16& block, float* x) noexcept {
  *x = bf16_to_f32(block.bits);
}

/// Where rounding would give infinity: the largest number.
inline void encode_block(const float* x, const float*, BlockBF16& block) noexcept {
  const uint16_t bits = f32_to_bf16(*x);
  const bool infinite = (bits & 0x7fffu) == 0x7f80u;
  block.bits = static_cast<uint16_t>(infinite ? (bits & 0x8000u) | kBf16MaxBits : bits);
}

}  // namespace minke
