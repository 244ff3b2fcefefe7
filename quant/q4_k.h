// Q4_K: 256 values in 8 sub-blocks of 32, x = (d * scale) * q - (dmin * min); 4.5 bits a value.
#pragma once

#include "quant/bits.h"
#include "quant/half.h"
#include "quant/k_scales.h"
#include "quant/search.h"

namespace minke {

//     byte 0..1     d, f16
//     byte 2..3     dmin, f16
//     byte 4..15    scales and mins, six bits each: see k_scales.h
//     byte 16..143  qs: four quarters of 64 values, each in 32 bytes; byte i of a quarter is
//                   [ q[32+i] | q[i] ], high nibble first
struct [[gnu::packed]] BlockQ4_K {
  static constexpr size_t kLen = 256;
  static constexpr SuperAffineRule kRule{8, 15, scale_rule({0, 63})};
  uint16_t d;
  uint16_t dmin;
  uint8_t scales[12];
  uint8_t qs[128];
};
static_assert(sizeof(BlockQ4_K) == 144);

inline void decode_block(const BlockQ4_K& block, float* x) noexcept {
  uint8_t q[256];
  unpack_bits<4, 32>(block.qs, q);
  decode_with_k_scales(block.d, block.dmin, block.scales, q, x);
}

inline void pack_block(const SuperAffineCodes& best, BlockQ4_K& block) noexcept {
  block.d = best.d;
  block.dmin = best.dmin;
  pack_k_scales(best.scales, best.mins, block.scales);
  pack_bits<4, 32>(best.codes, block.qs);
}

}  // namespace minke
