// IQ1_M: 256 values in groups of 16, x = (d / 8 * (2 * scale + 1)) * (8 * t + shift), where t is
// -1, 0 or 1 and the shift of eight values is 1 or -1. Eight t are a code of 11 bits. 1.75 bits a
// value.
#pragma once

#include "quant/bits.h"
#include "quant/iq_block.h"
#include "quant/iq_search.h"

namespace minke {

//     byte 0..31   codes, the lower eight bits, one byte for eight values
//     byte 32..47  the codes' upper three bits: byte j is
//                           7         6    4         3       2    0
//                   [ shift[2*j+1] is -1 | code[2*j+1] | shift[2*j] is -1 | code[2*j] ]
//     byte 48..55  four words of 16 bits, one for 64 values; word j is
//                    15        12 11       9 8        6 5        3 2      0
//                   [ d's bits 4*j.. | scale[4*j+3] | scale[4*j+2] | scale[4*j+1] | scale[4*j] ]
//                  where d is f16
struct [[gnu::packed]] BlockIQ1_M {
  static constexpr size_t kLen = 256;
  static constexpr size_t kGroup = 16;
  static constexpr float kUnit = 0.125f;
  static constexpr int kOffset = 9;
  uint8_t codes_low[32];
  uint8_t shifts_and_codes[16];
  uint16_t d_and_scales[4];
};
static_assert(sizeof(BlockIQ1_M) == 56);

[[gnu::always_inline]] inline uint16_t packed_d(const BlockIQ1_M& block) noexcept {
  uint32_t d = 0;
  for (size_t j = 0; j < 4; ++j) d |= static_cast<uint32_t>(block.d_and_scales[j]) >> 12 << 4 * j;
  return static_cast<uint16_t>(d);
}

[[gnu::always_inline]] inline void unpack_levels(const BlockIQ1_M& block, uint8_t* levels,
                                                 uint8_t* scales) noexcept {
  for (size_t g = 0; g < 16; ++g) {
    scales[g] = static_cast<uint8_t>(block.d_and_scales[g / 4] >> 3 * (g % 4) & 7);
  }
  uint8_t high[32];
  unpack_bits<4, 1>(block.shifts_and_codes, high);
  for (size_t i = 0; i < 32; ++i, levels += 8) {
    const int code = block.codes_low[i] | (high[i] & 7) << 8;
    store_shifted(kIQ1Book.word[code], (high[i] & 8) != 0, levels);
  }
}

inline void encode_block(const float* x, const float* importance, BlockIQ1_M& block) noexcept {
  IqCodes best;
  encode_iq1_m(x, importance, best);
  uint8_t high[32];
  for (size_t i = 0; i < 32; ++i) {
    block.codes_low[i] = static_cast<uint8_t>(best.codes[i]);
    high[i] = static_cast<uint8_t>(best.codes[i] >> 8 | (best.signs[i] & 1) << 3);
  }
  pack_bits<4, 1>(high, block.shifts_and_codes);
  for (size_t j = 0; j < 4; ++j) {
    uint32_t word = (static_cast<uint32_t>(best.d) >> 4 * j & 15) << 12;
    for (size_t i = 0; i < 4; ++i) word |= static_cast<uint32_t>(best.scales[4 * j + i]) << 3 * i;
    block.d_and_scales[j] = static_cast<uint16_t>(word);
  }
}

}  // namespace minke
