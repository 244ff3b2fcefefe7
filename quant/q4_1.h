// Q4_1: 32 values, x = d * q + m; 5 bits a value.
#pragma once

#include "quant/bits.h"
#include "quant/half.h"
#include "quant/search.h"

namespace minke {

//     byte 0..1   d, f16
//     byte 2..3   m, f16
//     byte 4..19  qs: byte i is [ q[16+i] | q[i] ], high nibble first
struct [[gnu::packed]] BlockQ4_1 {
  static constexpr size_t kLen = 32;
  static constexpr AffineRule kRule{15};
  uint16_t d;
  uint16_t m;
  uint8_t qs[16];
};
static_assert(sizeof(BlockQ4_1) == 20);

inline void decode_block(const BlockQ4_1& block, float* x) noexcept {
  uint8_t q[32];
  unpack_bits<4, 16>(block.qs, q);
  const float d = f16_to_f32(block.d);
  const float m = f16_to_f32(block.m);
  for (size_t i = 0; i < 32; ++i) x[i] = d * static_cast<float>(q[i]) + m;
}

inline void pack_block(const AffineCodes& best, BlockQ4_1& block) noexcept {
  block.d = best.d;
  block.m = best.m;
  pack_bits<4, 16>(best.codes, block.qs);
}

}  // namespace minke
