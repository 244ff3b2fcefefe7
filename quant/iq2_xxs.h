// IQ2_XXS: 256 values in groups of 32, x = (d / 8 * (2 * scale + 1)) * level; levels are 8, 25, 43
// and their negatives. Eight values are a code of 8 bits and signs of 7 bits. 2.0625 bits a value.
#pragma once

#include "quant/iq_block.h"
#include "quant/iq_search.h"

namespace minke {

//     byte 0..1   d, f16
//     byte 2..65  groups of 8 bytes: four codes, and a word of 32 bits:
//                   31  28 27        21 20        14 13         7 6         0
//                  [ scale | signs[3] | signs[2]   | signs[1]   | signs[0]   ]
//                 Bit i of `signs` is the sign of value i < 7; value 7's makes their number even.
struct [[gnu::packed]] BlockIQ2_XXS {
  static constexpr size_t kLen = 256;
  static constexpr size_t kGroup = 32;
  static constexpr float kUnit = 0.125f;
  static constexpr int kOffset = 0;
  struct [[gnu::packed]] Group {
    uint8_t codes[4];
    uint32_t scale_and_signs;
  };
  uint16_t d;
  Group groups[8];
};
static_assert(sizeof(BlockIQ2_XXS) == 66);

[[gnu::always_inline]] inline uint16_t packed_d(const BlockIQ2_XXS& block) noexcept {
  return block.d;
}

[[gnu::always_inline]] inline void unpack_levels(const BlockIQ2_XXS& block, uint8_t* levels,
                                                 uint8_t* scales) noexcept {
  for (const BlockIQ2_XXS::Group& group : block.groups) {
    *scales++ = static_cast<uint8_t>(group.scale_and_signs >> 28);
    for (size_t i = 0; i < 4; ++i, levels += 8) {
      store_signed(kIQ2_XXSBook.word[group.codes[i]], even_signs(group.scale_and_signs >> 7 * i),
                   levels);
    }
  }
}

inline void encode_block(const float* x, const float* importance, BlockIQ2_XXS& block) noexcept {
  IqCodes best;
  encode_iq2_xxs(x, importance, best);
  block.d = best.d;
  for (size_t g = 0; g < 8; ++g) {
    uint32_t word = static_cast<uint32_t>(best.scales[g]) << 28;
    for (size_t i = 0; i < 4; ++i) {
      block.groups[g].codes[i] = static_cast<uint8_t>(best.codes[4 * g + i]);
      word |= (best.signs[4 * g + i] & 127u) << 7 * i;
    }
    block.groups[g].scale_and_signs = word;
  }
}

}  // namespace minke
