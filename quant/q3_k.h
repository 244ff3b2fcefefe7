// Q3_K: 256 values in 16 sub-blocks of 16, x = (d * (scale - 32)) * (q - 4); 3.4375 bits a value.
#pragma once

#include "quant/bits.h"
#include "quant/half.h"
#include "quant/search.h"

namespace minke {

//     byte 0..31     hmask: bit j of byte i is bit 2 of q[32*j+i]
//     byte 32..95    qs, the lower two bits: two halves of 128 values, each in 32 bytes; byte i is
//                      7      6 5      4 3      2 1    0
//                    [ q[96+i] | q[64+i] | q[32+i] | q[i] ]
//     byte 96..103   lower four bits of the scales: byte j is [ scale[8+j] | scale[j] ]
//     byte 104..107  upper two bits: byte j is [ scale[12+j] | scale[8+j] | scale[4+j] | scale[j] ]
//     byte 108..109  d, f16
struct [[gnu::packed]] BlockQ3_K {
  static constexpr size_t kLen = 256;
  static constexpr SuperScaledRule kRule{16, scale_rule({-4, 3}), scale_rule({-32, 31})};
  uint8_t hmask[32];
  uint8_t qs[64];
  uint8_t scales_low[8];
  uint8_t scales_high[4];
  uint16_t d;
};
static_assert(sizeof(BlockQ3_K) == 110);

inline void decode_block(const BlockQ3_K& block, float* x) noexcept {
  uint8_t q[256];
  uint8_t scales[16];
  unpack_bits<2, 32>(block.qs, q);
  unpack_bits<1, 32, 2>(block.hmask, q);
  unpack_bits<4, 8>(block.scales_low, scales);
  unpack_bits<2, 4, 4>(block.scales_high, scales);
  const float d = f16_to_f32(block.d);
  for (size_t j = 0; j < 16; ++j) {
    const float scale = d * static_cast<float>(scales[j] - 32);
    for (size_t i = 16 * j; i < 16 * j + 16; ++i) x[i] = scale * static_cast<float>(q[i] - 4);
  }
}

inline void pack_block(const SuperScaledCodes& best, BlockQ3_K& block) noexcept {
  block.d = best.d;
  uint8_t scales[16];
  for (size_t j = 0; j < 16; ++j) scales[j] = static_cast<uint8_t>(best.scales[j] + 32);
  pack_bits<4, 8>(scales, block.scales_low);
  pack_bits<2, 4, 4>(scales, block.scales_high);
  pack_bits<2, 32>(best.codes, block.qs);
  pack_bits<1, 32, 2>(best.codes, block.hmask);
}

}  // namespace minke
