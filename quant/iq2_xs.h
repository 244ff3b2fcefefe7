// IQ2_XS: 256 values in groups of 16, x = (d / 8 * (2 * scale + 1)) * level; levels are 8, 25, 43
// and their negatives. Eight values are a code of 9 bits and signs of 7 bits. 2.3125 bits a value.
#pragma once

#include "quant/bits.h"
#include "quant/iq_block.h"
#include "quant/iq_search.h"

namespace minke {

//     byte 0..1    d, f16
//     byte 2..65   words of 16 bits, one for eight values:
//                    15       9 8      0
//                   [   signs  |  code  ]
//                  Bit i of `signs` is the sign of value i < 7; value 7's makes their number even.
//     byte 66..73  scales: byte j is [ scale[2*j+1] | scale[2*j] ], high nibble first
struct [[gnu::packed]] BlockIQ2_XS {
  static constexpr size_t kLen = 256;
  static constexpr size_t kGroup = 16;
  static constexpr float kUnit = 0.125f;
  static constexpr int kOffset = 0;
  uint16_t d;
  uint16_t signs_and_codes[32];
  uint8_t scales[8];
};
static_assert(sizeof(BlockIQ2_XS) == 74);

[[gnu::always_inline]] inline uint16_t packed_d(const BlockIQ2_XS& block) noexcept {
  return block.d;
}

[[gnu::always_inline]] inline void unpack_levels(const BlockIQ2_XS& block, uint8_t* levels,
                                                 uint8_t* scales) noexcept {
  unpack_bits<4, 1>(block.scales, scales);
  for (size_t i = 0; i < 32; ++i, levels += 8) {
    const uint32_t word = block.signs_and_codes[i];
    store_signed(kIQ2_XSBook.word[word & 511], even_signs(word >> 9), levels);
  }
}

inline void encode_block(const float* x, const float* importance, BlockIQ2_XS& block) noexcept {
  IqCodes best;
  encode_iq2_xs(x, importance, best);
  block.d = best.d;
  pack_bits<4, 1>(best.scales, block.scales);
  for (size_t i = 0; i < 32; ++i) {
    block.signs_and_codes[i] = static_cast<uint16_t>(best.codes[i] | (best.signs[i] & 127u) << 9);
  }
}

}  // namespace minke
