// Q5_1: 32 values, x = d * q + m; 6 bits a value.
#pragma once

#include "quant/bits.h"
#include "quant/half.h"
#include "quant/search.h"

namespace minke {

//     byte 0..1   d, f16
//     byte 2..3   m, f16
//     byte 4..7   qh: bit j of byte i is bit 4 of q[8*i+j]
//     byte 8..23  qs: byte i is [ q[16+i] | q[i] ], their lower four bits, high nibble first
struct [[gnu::packed]] BlockQ5_1 {
  static constexpr size_t kLen = 32;
  static constexpr AffineRule kRule{31};
  uint16_t d;
  uint16_t m;
  uint8_t qh[4];
  uint8_t qs[16];
};
static_assert(sizeof(BlockQ5_1) == 24);

inline void decode_block(const BlockQ5_1& block, float* x) noexcept {
  uint8_t q[32];
  unpack_bits<4, 16>(block.qs, q);
  unpack_bits<1, 1, 4>(block.qh, q);
  const float d = f16_to_f32(block.d);
  const float m = f16_to_f32(block.m);
  for (size_t i = 0; i < 32; ++i) x[i] = d * static_cast<float>(q[i]) + m;
}

inline void pack_block(const AffineCodes& best, BlockQ5_1& block) noexcept {
  block.d = best.d;
  block.m = best.m;
  pack_bits<4, 16>(best.codes, block.qs);
  pack_bits<1, 1, 4>(best.codes, block.qh);
}

}  // namespace minke
