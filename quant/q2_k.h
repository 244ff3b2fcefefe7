// Q2_K: 256 values in 16 sub-blocks of 16, x = (d * scale) * q - (dmin * min); 2.625 bits a value.
#pragma once

#include "quant/bits.h"
#include "quant/half.h"
#include "quant/search.h"

namespace minke {

//     byte 0..15   byte j is [ min[j] | scale[j] ], four bits each, high nibble first
//     byte 16..79  qs: two halves of 128 values, each in 32 bytes; byte i of a half is
//                    7      6 5      4 3      2 1    0
//                  [ q[96+i] | q[64+i] | q[32+i] | q[i] ]
//     byte 80..81  d, f16
//     byte 82..83  dmin, f16
struct [[gnu::packed]] BlockQ2_K {
  static constexpr size_t kLen = 256;
  static constexpr SuperAffineRule kRule{16, 3, scale_rule({0, 15})};
  uint8_t scales[16];
  uint8_t qs[64];
  uint16_t d;
  uint16_t dmin;
};
static_assert(sizeof(BlockQ2_K) == 84);

inline void decode_block(const BlockQ2_K& block, float* x) noexcept {
  uint8_t q[256];
  uint8_t scales_then_mins[32];
  unpack_bits<2, 32>(block.qs, q);
  unpack_bits<4, 16>(block.scales, scales_then_mins);
  const float d = f16_to_f32(block.d);
  const float dmin = f16_to_f32(block.dmin);
  for (size_t j = 0; j < 16; ++j) {
    const float scale = d * static_cast<float>(scales_then_mins[j]);
    const float min = dmin * static_cast<float>(scales_then_mins[16 + j]);
    for (size_t i = 16 * j; i < 16 * j + 16; ++i) x[i] = scale * static_cast<float>(q[i]) - min;
  }
}

inline void pack_block(const SuperAffineCodes& best, BlockQ2_K& block) noexcept {
  block.d = best.d;
  block.dmin = best.dmin;
  for (size_t j = 0; j < 16; ++j) {
    block.scales[j] = static_cast<uint8_t>(best.scales[j] | best.mins[j] << 4);
  }
  pack_bits<2, 32>(best.codes, block.qs);
}

}  // namespace minke
