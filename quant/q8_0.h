// Q8_0: 32 values, x = d * q; 8.5 bits a value.
#pragma once

#include "quant/half.h"
#include "quant/search.h"

namespace minke {

//     byte 0..1   d, f16
//     byte 2..33  q, int8, in order
struct [[gnu::packed]] BlockQ8_0 {
  static constexpr size_t kLen = 32;
  static constexpr ScaledRule kRule{scale_rule({-127, 127})};
  uint16_t d;
  int8_t qs[32];
};
static_assert(sizeof(BlockQ8_0) == 34);

inline void decode_block(const BlockQ8_0& block, float* x) noexcept {
  const float d = f16_to_f32(block.d);
  for (size_t i = 0; i < 32; ++i) x[i] = d * static_cast<float>(block.qs[i]);
}

/// -128 is not used: kernels may negate q in eight bits.
inline void pack_block(const ScaledCodes& best, BlockQ8_0& block) noexcept {
  block.d = best.d;
  for (size_t i = 0; i < 32; ++i) block.qs[i] = static_cast<int8_t>(best.codes[i] - 127);
}

}  // namespace minke
