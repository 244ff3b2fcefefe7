// Unpacking with AVX2, and what AVX-512 adds: 32 weights a vector. Each function overloads the loop
// of unpack_generic.h for its format and gives the same bytes and floats.
#pragma once

#include <immintrin.h>

#include "backends/cpu/kernels/unpack_generic.h"
#include "backends/cpu/kernels/unpack_x86_scales.h"

namespace minke::cpu::MINKE_ISA_NS {
namespace {

inline void store32(uint8_t* p, __m256i v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v);
}
inline __m256i low_nibbles(__m256i v) { return _mm256_and_si256(v, _mm256_set1_epi8(15)); }
inline __m256i high_nibbles(__m256i v) { return low_nibbles(_mm256_srli_epi16(v, 4)); }

/// The low nibbles of 16 bytes, then the high ones.
inline __m256i nibbles(const uint8_t* p) {
  const __m256i twice = _mm256_broadcastsi128_si256(load16(p));
  return low_nibbles(_mm256_srlv_epi32(twice, _mm256_setr_epi32(0, 0, 0, 0, 4, 4, 4, 4)));
}

/// Of every byte the bits of `kMask` after moving them from bit kFrom to bit kTo.
template <int kFrom, int kTo, int kMask>
inline __m256i move_bits(__m256i v) {
  if constexpr (kFrom > kTo) v = _mm256_srli_epi16(v, kFrom - kTo);
  if constexpr (kFrom < kTo) v = _mm256_slli_epi16(v, kTo - kFrom);
  return _mm256_and_si256(v, _mm256_set1_epi8(kMask));
}

/// 16 in byte i where bit i of the 32 at p is set.
inline __m256i fifth_bits(const uint8_t* p) {
  int32_t bits;
  std::memcpy(&bits, p, 4);
#ifdef __AVX512VL__
  return _mm256_maskz_set1_epi8(static_cast<__mmask32>(bits), 16);
#else
  const __m256i spread = _mm256_shuffle_epi8(
      _mm256_set1_epi32(bits),
      _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303));
  const __m256i bit = _mm256_set1_epi64x(static_cast<int64_t>(0x8040201008040201));
  const __m256i is_set = _mm256_cmpeq_epi8(_mm256_and_si256(spread, bit), bit);
  return _mm256_and_si256(is_set, _mm256_set1_epi8(16));
#endif
}

inline __m256i iq4_levels(__m256i codes) {
  const __m128i levels =
      _mm_add_epi8(load16(kIq4Levels), _mm_set1_epi8(static_cast<char>(kFullBias)));
  return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(levels), codes);
}

void unpack_all(const BlockQ4_0* block, int n, uint8_t* bytes, float* scale, float*) {
  halves_to_float(&block->d, sizeof(*block), n, scale);
  for (int b = 0; b < n; ++b, ++block) store32(bytes + 32 * b, nibbles(block->qs));
}

void unpack_all(const BlockQ4_1* block, int n, uint8_t* bytes, float* scale, float* min) {
  halves_to_float(&block->d, sizeof(*block), n, scale);
  halves_to_float(&block->m, sizeof(*block), n, min);
  for (int b = 0; b < n; ++b, ++block) store32(bytes + 32 * b, nibbles(block->qs));
}

void unpack_all(const BlockQ5_0* block, int n, uint8_t* bytes, float* scale, float*) {
  halves_to_float(&block->d, sizeof(*block), n, scale);
  for (int b = 0; b < n; ++b, ++block)
    store32(bytes + 32 * b, _mm256_or_si256(nibbles(block->qs), fifth_bits(block->qh)));
}

void unpack_all(const BlockQ5_1* block, int n, uint8_t* bytes, float* scale, float* min) {
  halves_to_float(&block->d, sizeof(*block), n, scale);
  halves_to_float(&block->m, sizeof(*block), n, min);
  for (int b = 0; b < n; ++b, ++block)
    store32(bytes + 32 * b, _mm256_or_si256(nibbles(block->qs), fifth_bits(block->qh)));
}

void unpack_all(const BlockQ8_0* block, int n, uint8_t* bytes, float* scale, float*) {
  const __m256i bias = _mm256_set1_epi8(static_cast<char>(kFullBias));
  halves_to_float(&block->d, sizeof(*block), n, scale);
  for (int b = 0; b < n; ++b, ++block)
    store32(bytes + 32 * b, _mm256_xor_si256(load32(block->qs), bias));
}

void unpack_all(const BlockIQ4_NL* block, int n, uint8_t* bytes, float* scale, float*) {
  halves_to_float(&block->d, sizeof(*block), n, scale);
  for (int b = 0; b < n; ++b, ++block) store32(bytes + 32 * b, iq4_levels(nibbles(block->qs)));
}

void unpack_all(const BlockIQ4_XS* block, int n, uint8_t* bytes, float* scale, float*) {
  for (int b = 0; b < n; ++b, ++block, scale += 8) {
    uint8_t scales[8];
    unpack_bits<4, 1>(block->scales_low, scales);
    unpack_bits<2, 1, 4>(block->scales_high, scales);
    const float d = half_to_float(block->d);
    for (int g = 0; g < 8; ++g, bytes += 32) {
      scale[g] = d * static_cast<float>(scales[g] - 32);
      store32(bytes, iq4_levels(nibbles(block->qs + 16 * g)));
    }
  }
}

void unpack_all(const BlockQ2_K* block, int n, uint8_t* bytes, float* scale, float* min) {
  for (int b = 0; b < n; ++b, ++block, scale += 16, min += 16) {
    const __m128i packed = load16(block->scales), mask = _mm_set1_epi8(15);
    bytes_to_scales(_mm_and_si128(packed, mask), half_to_float(block->d), scale);
    bytes_to_scales(_mm_and_si128(_mm_srli_epi16(packed, 4), mask), -half_to_float(block->dmin),
                    min);
    for (int half = 0; half < 2; ++half, bytes += 128) {
      const __m256i codes = load32(block->qs + 32 * half);
      store32(bytes, move_bits<0, 0, 3>(codes));
      store32(bytes + 32, move_bits<2, 0, 3>(codes));
      store32(bytes + 64, move_bits<4, 0, 3>(codes));
      store32(bytes + 96, move_bits<6, 0, 3>(codes));
    }
  }
}

/// Two bits of `low` from bit 2 * kPart on, the third is bit kPart (+ 4 in the upper half) of
/// `high`.
template <int kPart, int kHighBit>
inline __m256i q3_codes(__m256i low, __m256i high) {
  return _mm256_or_si256(move_bits<2 * kPart, 0, 3>(low), move_bits<kHighBit, 2, 4>(high));
}

void unpack_all(const BlockQ3_K* block, int n, uint8_t* bytes, float* scale, float*) {
  for (int b = 0; b < n; ++b, ++block, scale += 16, bytes += 256) {
    bytes_to_scales(q3_scales(*block), half_to_float(block->d), scale);
    const __m256i high = load32(block->hmask);
    const __m256i first = load32(block->qs), second = load32(block->qs + 32);
    store32(bytes, q3_codes<0, 0>(first, high));
    store32(bytes + 32, q3_codes<1, 1>(first, high));
    store32(bytes + 64, q3_codes<2, 2>(first, high));
    store32(bytes + 96, q3_codes<3, 3>(first, high));
    store32(bytes + 128, q3_codes<0, 4>(second, high));
    store32(bytes + 160, q3_codes<1, 5>(second, high));
    store32(bytes + 192, q3_codes<2, 6>(second, high));
    store32(bytes + 224, q3_codes<3, 7>(second, high));
  }
}

void unpack_all(const BlockQ4_K* block, int n, uint8_t* bytes, float* scale, float* min) {
  for (int b = 0; b < n; ++b, ++block, scale += 8, min += 8) {
    k_scales_to_float(block, scale, min);
    for (int part = 0; part < 4; ++part, bytes += 64) {
      const __m256i codes = load32(block->qs + 32 * part);
      store32(bytes, low_nibbles(codes));
      store32(bytes + 32, high_nibbles(codes));
    }
  }
}

template <int kPart>
inline void q5_codes(const uint8_t* qs, __m256i high, uint8_t* bytes) {
  const __m256i codes = load32(qs + 32 * kPart);
  const __m256i low_fifth = move_bits<2 * kPart, 4, 16>(high);
  const __m256i high_fifth = move_bits<2 * kPart + 1, 4, 16>(high);
  store32(bytes + 64 * kPart, _mm256_or_si256(low_nibbles(codes), low_fifth));
  store32(bytes + 64 * kPart + 32, _mm256_or_si256(high_nibbles(codes), high_fifth));
}

void unpack_all(const BlockQ5_K* block, int n, uint8_t* bytes, float* scale, float* min) {
  for (int b = 0; b < n; ++b, ++block, scale += 8, min += 8, bytes += 256) {
    k_scales_to_float(block, scale, min);
    const __m256i high = load32(block->qh);
    q5_codes<0>(block->qs, high, bytes);
    q5_codes<1>(block->qs, high, bytes);
    q5_codes<2>(block->qs, high, bytes);
    q5_codes<3>(block->qs, high, bytes);
  }
}

void unpack_all(const BlockQ6_K* block, int n, uint8_t* bytes, float* scale, float*) {
  for (int b = 0; b < n; ++b, ++block, scale += 16) {
    bytes_to_scales(load16(block->scales), half_to_float(block->d), scale);
    for (int half = 0; half < 2; ++half, bytes += 128) {
      const __m256i a = load32(block->ql + 64 * half), c = load32(block->ql + 64 * half + 32);
      const __m256i high = load32(block->qh + 32 * half);
      store32(bytes, _mm256_or_si256(low_nibbles(a), move_bits<0, 4, 48>(high)));
      store32(bytes + 32, _mm256_or_si256(low_nibbles(c), move_bits<2, 4, 48>(high)));
      store32(bytes + 64, _mm256_or_si256(high_nibbles(a), move_bits<4, 4, 48>(high)));
      store32(bytes + 96, _mm256_or_si256(high_nibbles(c), move_bits<6, 4, 48>(high)));
    }
  }
}

}  // namespace
}  // namespace minke::cpu::MINKE_ISA_NS
