// Q4_0: 32 values, x = d * (q - 8); 4.5 bits a value.
#pragma once

#include "quant/bits.h"
#include "quant/half.h"
#include "quant/search.h"

namespace minke {

//     byte 0..1   d, f16
//     byte 2..17  qs: byte i is [ q[16+i] | q[i] ], high nibble first
struct [[gnu::packed]] BlockQ4_0 {
  static constexpr size_t kLen = 32;
  static constexpr ScaledRule kRule{scale_rule({-8, 7})};
  uint16_t d;
  uint8_t qs[16];
};
static_assert(sizeof(BlockQ4_0) == 18);

inline void decode_block(const BlockQ4_0& block, float* x) noexcept {
  uint8_t q[32];
  unpack_bits<4, 16>(block.qs, q);
  const float d = f16_to_f32(block.d);
  for (size_t i = 0; i < 32; ++i) x[i] = d * static_cast<float>(q[i] - 8);
}

inline void pack_block(const ScaledCodes& best, BlockQ4_0& block) noexcept {
  block.d = best.d;
  pack_bits<4, 16>(best.codes, block.qs);
}

}  // namespace minke
