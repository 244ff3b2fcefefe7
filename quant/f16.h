// F16: IEEE 754 binary16.
#pragma once

#include "quant/half.h"

namespace minke {

//      15 14    10 9        0
//     [ s | exp    | fraction ]
struct [[gnu::packed]] BlockF16 {
  static constexpr size_t kLen = 1;
  uint16_t bits;
};
static_assert(sizeof(BlockF16) == 2);

inline void decode_block(const BlockF16& block, float* x) noexcept { *x = f16_to_f32(block.bits); }

/// Beyond f16's range: its largest number, not infinity.
inline void encode_block(const float* x, const float*, BlockF16& block) noexcept {
  const float v = *x < kF16Max ? *x : kF16Max;
  block.bits = f32_to_f16(v > -kF16Max ? v : -kF16Max);
}

}  // namespace minke
