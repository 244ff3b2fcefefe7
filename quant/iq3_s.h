// IQ3_S: 256 values in groups of 32, x = (d * (2 * scale + 1)) * level; levels are 1, 3, .. 15 and
// their negatives. Four values are a code of 9 bits, with 4 signs. 3.4375 bits a value.
#pragma once

#include "quant/bits.h"
#include "quant/iq_block.h"
#include "quant/iq_search.h"

namespace minke {

//     byte 0..1      d, f16
//     byte 2..65     codes, the lower eight bits, one byte for four values
//     byte 66..73    their ninth bits: bit i of byte j is that of code 8*j+i
//     byte 74..105   signs: bit i of byte j is the sign of value 8*j+i
//     byte 106..109  scales: byte j is [ scale[2*j+1] | scale[2*j] ], high nibble first
struct [[gnu::packed]] BlockIQ3_S {
  static constexpr size_t kLen = 256;
  static constexpr size_t kGroup = 32;
  static constexpr float kUnit = 1.0f;
  static constexpr int kOffset = 0;
  uint16_t d;
  uint8_t codes_low[64];
  uint8_t codes_high[8];
  uint8_t signs[32];
  uint8_t scales[4];
};
static_assert(sizeof(BlockIQ3_S) == 110);

[[gnu::always_inline]] inline uint16_t packed_d(const BlockIQ3_S& block) noexcept {
  return block.d;
}

[[gnu::always_inline]] inline void unpack_levels(const BlockIQ3_S& block, uint8_t* levels,
                                                 uint8_t* scales) noexcept {
  uint8_t ninth[64];
  unpack_bits<4, 1>(block.scales, scales);
  unpack_bits<1, 1>(block.codes_high, ninth);
  for (size_t i = 0; i < 32; ++i, levels += 8) {
    const uint64_t low = kIQ3_SBook.word[block.codes_low[2 * i] | ninth[2 * i] << 8];
    const uint64_t high = kIQ3_SBook.word[block.codes_low[2 * i + 1] | ninth[2 * i + 1] << 8];
    store_signed(low | high << 32, block.signs[i], levels);
  }
}

inline void encode_block(const float* x, const float* importance, BlockIQ3_S& block) noexcept {
  IqCodes best;
  encode_iq3_s(x, importance, best);
  block.d = best.d;
  pack_bits<4, 1>(best.scales, block.scales);
  uint8_t ninth[64];
  for (size_t i = 0; i < 64; ++i) {
    block.codes_low[i] = static_cast<uint8_t>(best.codes[i]);
    ninth[i] = static_cast<uint8_t>(best.codes[i] >> 8);
  }
  pack_bits<1, 1>(ninth, block.codes_high);
  for (size_t i = 0; i < 32; ++i) block.signs[i] = best.signs[i];
}

}  // namespace minke
