// IQ4_NL: 32 values, x = d * kIq4Levels[q]; 4.5 bits a value. The levels are denser near zero.
#pragma once

#include "quant/bits.h"
#include "quant/half.h"
#include "quant/search.h"

namespace minke {

constexpr int8_t kIq4Levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                   1,    13,   25,  38,  53,  69,  89,  113};
constexpr LevelTable kIq4Table = level_table(kIq4Levels);
constexpr Levels kIq4{-127, 113, &kIq4Table};

//     byte 0..1   d, f16
//     byte 2..17  qs: byte i is [ q[16+i] | q[i] ], high nibble first
struct [[gnu::packed]] BlockIQ4_NL {
  static constexpr size_t kLen = 32;
  static constexpr ScaledRule kRule{scale_rule(kIq4)};
  uint16_t d;
  uint8_t qs[16];
};
static_assert(sizeof(BlockIQ4_NL) == 18);

inline void decode_block(const BlockIQ4_NL& block, float* x) noexcept {
  uint8_t q[32];
  unpack_bits<4, 16>(block.qs, q);
  const float d = f16_to_f32(block.d);
  for (size_t i = 0; i < 32; ++i) x[i] = d * static_cast<float>(kIq4Levels[q[i]]);
}

inline void pack_block(const ScaledCodes& best, BlockIQ4_NL& block) noexcept {
  block.d = best.d;
  pack_bits<4, 16>(best.codes, block.qs);
}

}  // namespace minke
