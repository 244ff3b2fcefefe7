// MXFP4: 32 values of four bits (e2m1) that share a power of two (e8m0), x = 2^(e - 128) *
// kMxfp4Levels[q]; 4.25 bits a value. OCP Microscaling Formats, version 1.0; the levels are twice
// those of e2m1, which are 0, 0.5, 1, 1.5, 2, 3, 4 and 6.
#pragma once

#include <cstdint>

#include "quant/bits.h"

namespace minke {

constexpr int8_t kMxfp4Levels[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
constexpr int kMxfp4Offset = 12;  ///< Makes all levels >= 0.

//     byte 0      e; 255, which the specification calls a NaN, is 2^127 here as it is in ggml
//     byte 1..16  qs: byte i is [ q[16+i] | q[i] ], high nibble first
struct [[gnu::packed]] BlockMXFP4 {
  static constexpr size_t kLen = 32;
  uint8_t e;
  uint8_t qs[16];
};
static_assert(sizeof(BlockMXFP4) == 17);

/// 2^(e - 128), exact: the two smallest are denormal.
[[gnu::always_inline]] inline float mxfp4_scale(uint8_t e) noexcept {
  const uint32_t bits = e < 2 ? 0x200000u << e : (e - 1u) << 23;
  return __builtin_bit_cast(float, bits);
}

inline void decode_block(const BlockMXFP4& block, float* x) noexcept {
  uint8_t q[32];
  unpack_bits<4, 16>(block.qs, q);
  const float scale = mxfp4_scale(block.e);
  for (size_t i = 0; i < 32; ++i) x[i] = scale * static_cast<float>(kMxfp4Levels[q[i]]);
}

/// The best of the exponents around the one that brings the largest value to the largest level.
void encode_block(const float* x, const float* importance, BlockMXFP4& block) noexcept;

}  // namespace minke
