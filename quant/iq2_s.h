// IQ2_S: 256 values in groups of 16, x = (d / 8 * (2 * scale + 1)) * level; levels are 8, 25, 43
// and their negatives. Eight values are a code of 10 bits and 8 signs. 2.5625 bits a value.
#pragma once

#include "quant/bits.h"
#include "quant/iq_block.h"
#include "quant/iq_search.h"

namespace minke {

//     byte 0..1    d, f16
//     byte 2..33   codes, the lower eight bits, one byte for eight values
//     byte 34..65  signs: bit i of byte j is the sign of value 8*j+i
//     byte 66..73  upper two bits of the codes: byte j is
//                    7         6 5         4 3         2 1       0
//                   [ code[4*j+3] | code[4*j+2] | code[4*j+1] | code[4*j] ]
//     byte 74..81  scales: byte j is [ scale[2*j+1] | scale[2*j] ], high nibble first
struct [[gnu::packed]] BlockIQ2_S {
  static constexpr size_t kLen = 256;
  static constexpr size_t kGroup = 16;
  static constexpr float kUnit = 0.125f;
  static constexpr int kOffset = 0;
  uint16_t d;
  uint8_t codes_low[32];
  uint8_t signs[32];
  uint8_t codes_high[8];
  uint8_t scales[8];
};
static_assert(sizeof(BlockIQ2_S) == 82);

[[gnu::always_inline]] inline uint16_t packed_d(const BlockIQ2_S& block) noexcept {
  return block.d;
}

[[gnu::always_inline]] inline void unpack_levels(const BlockIQ2_S& block, uint8_t* levels,
                                                 uint8_t* scales) noexcept {
  uint8_t high[32];
  unpack_bits<4, 1>(block.scales, scales);
  unpack_bits<2, 1>(block.codes_high, high);
  for (size_t i = 0; i < 32; ++i, levels += 8) {
    store_signed(kIQ2_SBook.word[block.codes_low[i] | high[i] << 8], block.signs[i], levels);
  }
}

inline void encode_block(const float* x, const float* importance, BlockIQ2_S& block) noexcept {
  IqCodes best;
  encode_iq2_s(x, importance, best);
  block.d = best.d;
  pack_bits<4, 1>(best.scales, block.scales);
  uint8_t high[32];
  for (size_t i = 0; i < 32; ++i) {
    block.codes_low[i] = static_cast<uint8_t>(best.codes[i]);
    high[i] = static_cast<uint8_t>(best.codes[i] >> 8);
    block.signs[i] = best.signs[i];
  }
  pack_bits<2, 1>(high, block.codes_high);
}

}  // namespace minke
