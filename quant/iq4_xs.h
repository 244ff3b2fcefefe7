// IQ4_XS: 256 values in 8 sub-blocks of 32, x = (d * (scale - 32)) * kIq4Levels[q]; 4.25 bits a
// value.
#pragma once

#include "quant/bits.h"
#include "quant/half.h"
#include "quant/iq4_nl.h"
#include "quant/search.h"

namespace minke {

//     byte 0..1    d, f16
//     byte 2..3    upper two bits of the scales: byte j is
//                    7          6 5          4 3          2 1        0
//                  [ scale[4*j+3] | scale[4*j+2] | scale[4*j+1] | scale[4*j] ]
//     byte 4..7    lower four bits: byte j is [ scale[2*j+1] | scale[2*j] ], high nibble first
//     byte 8..135  qs: eight sub-blocks of 32 values, each in 16 bytes; byte i of a sub-block is
//                  [ q[16+i] | q[i] ], high nibble first
struct [[gnu::packed]] BlockIQ4_XS {
  static constexpr size_t kLen = 256;
  static constexpr SuperScaledRule kRule{8, scale_rule(kIq4), scale_rule({-32, 31})};
  uint16_t d;
  uint8_t scales_high[2];
  uint8_t scales_low[4];
  uint8_t qs[128];
};
static_assert(sizeof(BlockIQ4_XS) == 136);

inline void decode_block(const BlockIQ4_XS& block, float* x) noexcept {
  uint8_t q[256];
  uint8_t scales[8];
  unpack_bits<4, 16>(block.qs, q);
  unpack_bits<4, 1>(block.scales_low, scales);
  unpack_bits<2, 1, 4>(block.scales_high, scales);
  const float d = f16_to_f32(block.d);
  for (size_t j = 0; j < 8; ++j) {
    const float scale = d * static_cast<float>(scales[j] - 32);
    for (size_t i = 32 * j; i < 32 * j + 32; ++i) {
      x[i] = scale * static_cast<float>(kIq4Levels[q[i]]);
    }
  }
}

inline void pack_block(const SuperScaledCodes& best, BlockIQ4_XS& block) noexcept {
  block.d = best.d;
  uint8_t scales[8];
  for (size_t j = 0; j < 8; ++j) scales[j] = static_cast<uint8_t>(best.scales[j] + 32);
  pack_bits<4, 1>(scales, block.scales_low);
  pack_bits<2, 1, 4>(scales, block.scales_high);
  pack_bits<4, 16>(best.codes, block.qs);
}

}  // namespace minke
