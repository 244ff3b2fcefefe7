// Unpacking every format with plain loops, which compilers turn into vector code well enough for
// the formats that carry few of a model's bytes.
#pragma once

#include "backends/cpu/simd/dot_i8.h"
#include "backends/cpu/simd/half.h"
#include "quant/iq1_m.h"
#include "quant/iq1_s.h"
#include "quant/iq2_s.h"
#include "quant/iq2_xs.h"
#include "quant/iq2_xxs.h"
#include "quant/iq3_s.h"
#include "quant/iq3_xxs.h"
#include "quant/iq4_nl.h"
#include "quant/iq4_xs.h"
#include "quant/mxfp4.h"
#include "quant/q2_k.h"
#include "quant/q3_k.h"
#include "quant/q4_0.h"
#include "quant/q4_1.h"
#include "quant/q4_k.h"
#include "quant/q5_0.h"
#include "quant/q5_1.h"
#include "quant/q5_k.h"
#include "quant/q6_k.h"
#include "quant/q8_0.h"

namespace minke::cpu::MINKE_ISA_NS {
namespace {

inline void unpack_block(const BlockQ4_0& block, uint8_t* bytes, float* scale, float*) {
  unpack_bits<4, 16>(block.qs, bytes);
  *scale = half_to_float(block.d);
}

inline void unpack_block(const BlockQ4_1& block, uint8_t* bytes, float* scale, float* min) {
  unpack_bits<4, 16>(block.qs, bytes);
  *scale = half_to_float(block.d);
  *min = half_to_float(block.m);
}

inline void unpack_block(const BlockQ5_0& block, uint8_t* bytes, float* scale, float*) {
  unpack_bits<4, 16>(block.qs, bytes);
  unpack_bits<1, 1, 4>(block.qh, bytes);
  *scale = half_to_float(block.d);
}

inline void unpack_block(const BlockQ5_1& block, uint8_t* bytes, float* scale, float* min) {
  unpack_bits<4, 16>(block.qs, bytes);
  unpack_bits<1, 1, 4>(block.qh, bytes);
  *scale = half_to_float(block.d);
  *min = half_to_float(block.m);
}

inline void unpack_block(const BlockQ8_0& block, uint8_t* bytes, float* scale, float*) {
  for (int i = 0; i < 32; ++i) bytes[i] = static_cast<uint8_t>(block.qs[i] + kFullBias);
  *scale = half_to_float(block.d);
}

inline void unpack_block(const BlockIQ4_NL& block, uint8_t* bytes, float* scale, float*) {
  unpack_bits<4, 16>(block.qs, bytes);
  for (int i = 0; i < 32; ++i) bytes[i] = static_cast<uint8_t>(kIq4Levels[bytes[i]] + kFullBias);
  *scale = half_to_float(block.d);
}

inline void unpack_block(const BlockQ2_K& block, uint8_t* bytes, float* scale, float* min) {
  uint8_t scales_then_mins[32];
  unpack_bits<2, 32>(block.qs, bytes);
  unpack_bits<4, 16>(block.scales, scales_then_mins);
  const float d = half_to_float(block.d), d_min = -half_to_float(block.dmin);
  for (int g = 0; g < 16; ++g) {
    scale[g] = d * static_cast<float>(scales_then_mins[g]);
    min[g] = d_min * static_cast<float>(scales_then_mins[16 + g]);
  }
}

inline void unpack_block(const BlockQ3_K& block, uint8_t* bytes, float* scale, float*) {
  uint8_t scales[16];
  unpack_bits<2, 32>(block.qs, bytes);
  unpack_bits<1, 32, 2>(block.hmask, bytes);
  unpack_bits<4, 8>(block.scales_low, scales);
  unpack_bits<2, 4, 4>(block.scales_high, scales);
  const float d = half_to_float(block.d);
  for (int g = 0; g < 16; ++g) scale[g] = d * static_cast<float>(scales[g] - 32);
}

/// Scales and mins of Q4_K and Q5_K.
template <class Block>
inline void unpack_scales_and_mins(const Block& block, float* scale, float* min) {
  uint8_t scales[8];
  uint8_t mins[8];
  unpack_k_scales(block.scales, scales, mins);
  const float d = half_to_float(block.d), d_min = -half_to_float(block.dmin);
  for (int g = 0; g < 8; ++g) {
    scale[g] = d * static_cast<float>(scales[g]);
    min[g] = d_min * static_cast<float>(mins[g]);
  }
}

inline void unpack_block(const BlockQ4_K& block, uint8_t* bytes, float* scale, float* min) {
  unpack_bits<4, 32>(block.qs, bytes);
  unpack_scales_and_mins(block, scale, min);
}

inline void unpack_block(const BlockQ5_K& block, uint8_t* bytes, float* scale, float* min) {
  unpack_bits<4, 32>(block.qs, bytes);
  unpack_bits<1, 32, 4>(block.qh, bytes);
  unpack_scales_and_mins(block, scale, min);
}

inline void unpack_block(const BlockQ6_K& block, uint8_t* bytes, float* scale, float*) {
  unpack_bits<4, 64>(block.ql, bytes);
  unpack_bits<2, 32, 4>(block.qh, bytes);
  const float d = half_to_float(block.d);
  for (int g = 0; g < 16; ++g) scale[g] = d * static_cast<float>(block.scales[g]);
}

inline void unpack_block(const BlockIQ4_XS& block, uint8_t* bytes, float* scale, float*) {
  uint8_t scales[8];
  unpack_bits<4, 16>(block.qs, bytes);
  unpack_bits<4, 1>(block.scales_low, scales);
  unpack_bits<2, 1, 4>(block.scales_high, scales);
  for (int i = 0; i < 256; ++i) bytes[i] = static_cast<uint8_t>(kIq4Levels[bytes[i]] + kFullBias);
  const float d = half_to_float(block.d);
  for (int g = 0; g < 8; ++g) scale[g] = d * static_cast<float>(scales[g] - 32);
}

inline void unpack_block(const BlockMXFP4& block, uint8_t* bytes, float* scale, float*) {
  unpack_bits<4, 16>(block.qs, bytes);
  for (int i = 0; i < 32; ++i)
    bytes[i] = static_cast<uint8_t>(kMxfp4Levels[bytes[i]] + kMxfp4Offset);
  *scale = mxfp4_scale(block.e);
}

/// The IQ1, IQ2 and IQ3 formats.
template <IqBlock Block>
inline void unpack_block(const Block& block, uint8_t* bytes, float* scale, float*) {
  uint8_t scales[256 / Block::kGroup];
  unpack_levels(block, bytes, scales);
  if constexpr (Block::kOffset == 0) {
    for (int i = 0; i < 256; ++i) bytes[i] = static_cast<uint8_t>(bytes[i] + kFullBias);
  }
  const float d = half_to_float(packed_d(block)) * Block::kUnit;
  for (size_t g = 0; g < 256 / Block::kGroup; ++g)
    scale[g] = d * static_cast<float>(2 * scales[g] + 1);
}

/// Weights that share a scale.
template <class Block>
inline constexpr int kGroupLen = 32;
template <>
inline constexpr int kGroupLen<BlockQ2_K> = 16;
template <>
inline constexpr int kGroupLen<BlockQ3_K> = 16;
template <>
inline constexpr int kGroupLen<BlockQ6_K> = 16;
template <IqBlock Block>
inline constexpr int kGroupLen<Block> = static_cast<int>(Block::kGroup);

/// n consecutive blocks.
template <class Block>
void unpack_all(const Block* block, int n, uint8_t* bytes, float* scale, float* min) {
  constexpr int kGroups = static_cast<int>(Block::kLen) / kGroupLen<Block>;
  for (int b = 0; b < n; ++b, ++block) {
    unpack_block(*block, bytes, scale, min);
    bytes += Block::kLen;
    scale += kGroups;
    min += kGroups;
  }
}

}  // namespace
}  // namespace minke::cpu::MINKE_ISA_NS
