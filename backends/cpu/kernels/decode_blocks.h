// Blocks of the types that caches are made of, straight from their codes to floats. Sixteen codes
// are a vector of bytes. A product with the scale is the only one that is rounded, so the bits are
// those of the formats' own decoders.
#pragma once

#include "backends/cpu/simd/rows_f32.h"
#include "quant/f8_e4m3.h"
#include "quant/iq4_nl.h"
#include "quant/q5_0.h"
#include "quant/q8_0.h"

namespace minke::cpu::MINKE_ISA_NS {
namespace {

#if defined(__AVX2__)
#define MINKE_DECODE_BLOCKS 1

using Codes = __m128i;

inline Codes load_codes(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
inline Codes low_nibbles(Codes v) { return _mm_and_si128(v, _mm_set1_epi8(15)); }
inline Codes high_nibbles(Codes v) { return low_nibbles(_mm_srli_epi16(v, 4)); }
/// The level of each nibble.
inline Codes look_up(Codes levels, Codes nibbles) { return _mm_shuffle_epi8(levels, nibbles); }
/// Nibble i, less 16 where bit i is not set.
inline Codes with_fifth_bits(Codes nibbles, uint16_t bits) {
#if defined(__AVX512BW__)
  return _mm_mask_sub_epi8(nibbles, static_cast<__mmask16>(~bits), nibbles, _mm_set1_epi8(16));
#else
  const Codes bit = _mm_set1_epi64x(static_cast<int64_t>(0x8040201008040201));
  const Codes halves = _mm_set_epi64x(0x0101010101010101, 0);
  const Codes spread = _mm_shuffle_epi8(_mm_set1_epi16(static_cast<int16_t>(bits)), halves);
  const Codes set = _mm_cmpeq_epi8(_mm_and_si128(spread, bit), bit);
  return _mm_or_si128(nibbles, _mm_andnot_si128(set, _mm_set1_epi8(-16)));
#endif
}
inline void store_scaled(VF scale, Codes v, float* y) {
#if defined(__AVX512F__)
  store(y, scale * VF(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(v))));
#else
  store(y, scale * VF(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(v))));
  store(y + 8, scale * VF(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(v, 8)))));
#endif
}

#elif defined(__aarch64__)
#define MINKE_DECODE_BLOCKS 1

using Codes = int8x16_t;

inline Codes load_codes(const void* p) { return vld1q_s8(static_cast<const int8_t*>(p)); }
inline Codes low_nibbles(Codes v) { return vandq_s8(v, vdupq_n_s8(15)); }
inline Codes high_nibbles(Codes v) {
  return vreinterpretq_s8_u8(vshrq_n_u8(vreinterpretq_u8_s8(v), 4));
}
inline Codes look_up(Codes levels, Codes nibbles) {
  return vqtbl1q_s8(levels, vreinterpretq_u8_s8(nibbles));
}
inline Codes with_fifth_bits(Codes nibbles, uint16_t bits) {
  const uint8x16_t bit = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201));
  const uint8x16_t spread = vcombine_u8(vdup_n_u8(static_cast<uint8_t>(bits)),
                                        vdup_n_u8(static_cast<uint8_t>(bits >> 8)));
  const uint8x16_t high = vbicq_u8(vdupq_n_u8(0xF0), vtstq_u8(spread, bit));
  return vorrq_s8(nibbles, vreinterpretq_s8_u8(high));
}
inline void store_scaled(VF scale, Codes v, float* y) {
  const int16x8_t words[2] = {vmovl_s8(vget_low_s8(v)), vmovl_high_s8(v)};
  for (int i = 0; i < 2; ++i) {
    store(y + 8 * i, scale * VF(vcvtq_f32_s32(vmovl_s16(vget_low_s16(words[i])))));
    store(y + 8 * i + 4, scale * VF(vcvtq_f32_s32(vmovl_high_s16(words[i]))));
  }
}

#endif

#if defined(MINKE_DECODE_BLOCKS)

inline void decode(const BlockQ8_0& block, float* y) {
  const VF scale = splat(half_to_float(block.d));
  store_scaled(scale, load_codes(block.qs), y);
  store_scaled(scale, load_codes(block.qs + 16), y + 16);
}

inline void decode(const BlockQ5_0& block, float* y) {
  const VF scale = splat(half_to_float(block.d));
  const Codes qs = load_codes(block.qs);
  uint16_t high[2];
  std::memcpy(high, block.qh, sizeof(high));
  store_scaled(scale, with_fifth_bits(low_nibbles(qs), high[0]), y);
  store_scaled(scale, with_fifth_bits(high_nibbles(qs), high[1]), y + 16);
}

inline void decode(const BlockIQ4_NL& block, float* y) {
  const VF scale = splat(half_to_float(block.d));
  const Codes qs = load_codes(block.qs), levels = load_codes(kIq4Levels);
  store_scaled(scale, look_up(levels, low_nibbles(qs)), y);
  store_scaled(scale, look_up(levels, high_nibbles(qs)), y + 16);
}

/// 2^-8 of the value as a half: both kinds of numbers are laid out alike, but for the exponent's
/// bias and the NaN.
inline uint16_t e4m3_as_half(uint8_t code) {
  const unsigned sign = (code & 0x80u) << 8, rest = code & 0x7fu;
  return static_cast<uint16_t>(sign | (rest == 0x7f ? 0x7e00u : rest << 7));
}

inline void decode(const BlockF8_E4M3& block, float* y) {
  uint16_t halves[BlockF8_E4M3::kLen];
  for (size_t i = 0; i < BlockF8_E4M3::kLen; ++i) halves[i] = e4m3_as_half(block.codes[i]);
  const VF scale = splat(block.scale);
  for (size_t i = 0; i < BlockF8_E4M3::kLen; i += kFloats)
    store(y + i, scale * (load_f16(halves + i) * splat(256.0f)));
}

#else

inline void decode(const BlockF8_E4M3& block, float* y) { decode_block(block, y); }

#endif

/// The first n values of a row of blocks.
template <class Block>
void decode_row(const void* row, int n, float* y) {
  constexpr int kLen = static_cast<int>(Block::kLen);
  const auto* block = static_cast<const Block*>(row);
  for (; n >= kLen; n -= kLen, y += kLen) decode(*block++, y);
  if (n == 0) return;
  float last[kLen];
  decode(*block, last);
  std::memcpy(y, last, static_cast<size_t>(n) * sizeof(float));
}

using DecodeRow = void (*)(const void* row, int n, float* y);

/// Null for formats that are decoded another way.
inline DecodeRow find_decode_row(DType dtype) {
  if (dtype == DType::kF8_E4M3) return decode_row<BlockF8_E4M3>;
#if defined(MINKE_DECODE_BLOCKS)
  if (dtype == DType::kQ8_0) return decode_row<BlockQ8_0>;
  if (dtype == DType::kQ5_0) return decode_row<BlockQ5_0>;
  if (dtype == DType::kIQ4_NL) return decode_row<BlockIQ4_NL>;
#endif
  return nullptr;
}

}  // namespace
}  // namespace minke::cpu::MINKE_ISA_NS
