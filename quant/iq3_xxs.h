// IQ3_XXS: 256 values in groups of 32, x = (d / 4 * (2 * scale + 1)) * level; levels are 4, 12, ..
// 52, 62 and their negatives. Four values are a code of 8 bits, eight have signs of 7 bits. 3.0625
// bits a value.
#pragma once

#include "quant/iq_block.h"
#include "quant/iq_search.h"

namespace minke {

//     byte 0..1    d, f16
//     byte 2..65   codes, one byte for four values
//     byte 66..97  words of 32 bits, one a group:
//                    31  28 27        21 20        14 13         7 6         0
//                   [ scale | signs[3] | signs[2]   | signs[1]   | signs[0]   ]
//                  Bit i of `signs` is the sign of value i < 7; value 7's makes their number even.
struct [[gnu::packed]] BlockIQ3_XXS {
  static constexpr size_t kLen = 256;
  static constexpr size_t kGroup = 32;
  static constexpr float kUnit = 0.25f;
  static constexpr int kOffset = 0;
  uint16_t d;
  uint8_t codes[64];
  uint32_t scales_and_signs[8];
};
static_assert(sizeof(BlockIQ3_XXS) == 98);

[[gnu::always_inline]] inline uint16_t packed_d(const BlockIQ3_XXS& block) noexcept {
  return block.d;
}

[[gnu::always_inline]] inline void unpack_levels(const BlockIQ3_XXS& block, uint8_t* levels,
                                                 uint8_t* scales) noexcept {
  for (size_t i = 0; i < 32; ++i, levels += 8) {
    const uint32_t word = block.scales_and_signs[i / 4];
    if (i % 4 == 0) *scales++ = static_cast<uint8_t>(word >> 28);
    const uint64_t low = kIQ3_XXSBook.word[block.codes[2 * i]];
    const uint64_t high = kIQ3_XXSBook.word[block.codes[2 * i + 1]];
    store_signed(low | high << 32, even_signs(word >> 7 * (i % 4)), levels);
  }
}

inline void encode_block(const float* x, const float* importance, BlockIQ3_XXS& block) noexcept {
  IqCodes best;
  encode_iq3_xxs(x, importance, best);
  block.d = best.d;
  for (size_t i = 0; i < 64; ++i) block.codes[i] = static_cast<uint8_t>(best.codes[i]);
  for (size_t g = 0; g < 8; ++g) {
    uint32_t word = static_cast<uint32_t>(best.scales[g]) << 28;
    for (size_t i = 0; i < 4; ++i) word |= (best.signs[4 * g + i] & 127u) << 7 * i;
    block.scales_and_signs[g] = word;
  }
}

}  // namespace minke
