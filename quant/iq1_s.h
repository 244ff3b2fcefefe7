// IQ1_S: 256 values in groups of 32, x = (d / 8 * (2 * scale + 1)) * (8 * t + shift), where t is
// -1, 0 or 1 and the shift of a group is 1 or -1. Eight t are a code of 11 bits. 1.5625 bits a
// value.
#pragma once

#include "quant/iq_block.h"
#include "quant/iq_search.h"

namespace minke {

//     byte 0..1    d, f16
//     byte 2..33   codes, the lower eight bits, one byte for eight values
//     byte 34..49  words of 16 bits, one a group, with the codes' upper three bits:
//                       15      14  12 11       9 8        6 5        3 2        0
//                   [ shift is -1 | scale | code[3] | code[2] | code[1] | code[0] ]
struct [[gnu::packed]] BlockIQ1_S {
  static constexpr size_t kLen = 256;
  static constexpr size_t kGroup = 32;
  static constexpr float kUnit = 0.125f;
  static constexpr int kOffset = 9;
  uint16_t d;
  uint8_t codes_low[32];
  uint16_t groups[8];
};
static_assert(sizeof(BlockIQ1_S) == 50);

[[gnu::always_inline]] inline uint16_t packed_d(const BlockIQ1_S& block) noexcept {
  return block.d;
}

[[gnu::always_inline]] inline void unpack_levels(const BlockIQ1_S& block, uint8_t* levels,
                                                 uint8_t* scales) noexcept {
  for (size_t i = 0; i < 32; ++i, levels += 8) {
    const uint32_t word = block.groups[i / 4];
    if (i % 4 == 0) *scales++ = static_cast<uint8_t>(word >> 12 & 7);
    const uint32_t high = word >> 3 * (i % 4) & 7;
    store_shifted(kIQ1Book.word[block.codes_low[i] | high << 8], (word >> 15) != 0, levels);
  }
}

inline void encode_block(const float* x, const float* importance, BlockIQ1_S& block) noexcept {
  IqCodes best;
  encode_iq1_s(x, importance, best);
  block.d = best.d;
  for (size_t g = 0; g < 8; ++g) {
    auto word = static_cast<uint32_t>(best.scales[g] << 12 | (best.signs[4 * g] & 1) << 15);
    for (size_t i = 0; i < 4; ++i) {
      const uint32_t code = best.codes[4 * g + i];
      block.codes_low[4 * g + i] = static_cast<uint8_t>(code);
      word |= code >> 8 << 3 * i;
    }
    block.groups[g] = static_cast<uint16_t>(word);
  }
}

}  // namespace minke
