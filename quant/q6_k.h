// Q6_K: 256 values in 16 sub-blocks of 16, x = (d * scale) * (q - 32); 6.5625 bits a value.
#pragma once

#include "quant/bits.h"
#include "quant/half.h"
#include "quant/search.h"

namespace minke {

//     byte 0..127    ql, the lower four bits: two halves of 128 values, each in 64 bytes; byte i of
//                    a half is [ q[64+i] | q[i] ], high nibble first
//     byte 128..191  qh, the upper two bits: two halves of 128 values, each in 32 bytes; byte i is
//                      7      6 5      4 3      2 1    0
//                    [ q[96+i] | q[64+i] | q[32+i] | q[i] ]
//     byte 192..207  scales, int8
//     byte 208..209  d, f16
struct [[gnu::packed]] BlockQ6_K {
  static constexpr size_t kLen = 256;
  static constexpr SuperScaledRule kRule{16, scale_rule({-32, 31}), scale_rule({-128, 127})};
  uint8_t ql[128];
  uint8_t qh[64];
  int8_t scales[16];
  uint16_t d;
};
static_assert(sizeof(BlockQ6_K) == 210);

inline void decode_block(const BlockQ6_K& block, float* x) noexcept {
  uint8_t q[256];
  unpack_bits<4, 64>(block.ql, q);
  unpack_bits<2, 32, 4>(block.qh, q);
  const float d = f16_to_f32(block.d);
  for (size_t j = 0; j < 16; ++j) {
    const float scale = d * static_cast<float>(block.scales[j]);
    for (size_t i = 16 * j; i < 16 * j + 16; ++i) x[i] = scale * static_cast<float>(q[i] - 32);
  }
}

inline void pack_block(const SuperScaledCodes& best, BlockQ6_K& block) noexcept {
  block.d = best.d;
  for (size_t j = 0; j < 16; ++j) block.scales[j] = static_cast<int8_t>(best.scales[j]);
  pack_bits<4, 64>(best.codes, block.ql);
  pack_bits<2, 32, 4>(best.codes, block.qh);
}

}  // namespace minke
