// Q5_0: 32 values, x = d * (q - 16); 5.5 bits a value.
#pragma once

#include "quant/bits.h"
#include "quant/half.h"
#include "quant/search.h"

namespace minke {

//     byte 0..1   d, f16
//     byte 2..5   qh: bit j of byte i is bit 4 of q[8*i+j]
//     byte 6..21  qs: byte i is [ q[16+i] | q[i] ], their lower four bits, high nibble first
struct [[gnu::packed]] BlockQ5_0 {
  static constexpr size_t kLen = 32;
  static constexpr ScaledRule kRule{scale_rule({-16, 15})};
  uint16_t d;
  uint8_t qh[4];
  uint8_t qs[16];
};
static_assert(sizeof(BlockQ5_0) == 22);

inline void decode_block(const BlockQ5_0& block, float* x) noexcept {
  uint8_t q[32];
  unpack_bits<4, 16>(block.qs, q);
  unpack_bits<1, 1, 4>(block.qh, q);
  const float d = f16_to_f32(block.d);
  for (size_t i = 0; i < 32; ++i) x[i] = d * static_cast<float>(q[i] - 16);
}

inline void pack_block(const ScaledCodes& best, BlockQ5_0& block) noexcept {
  block.d = best.d;
  pack_bits<4, 16>(best.codes, block.qs);
  pack_bits<1, 1, 4>(best.codes, block.qh);
}

}  // namespace minke
