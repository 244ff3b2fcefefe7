// Scales of blocks to floats with AVX2 and AVX-512.
#pragma once

#include <immintrin.h>

#include "backends/cpu/kernels/unpack_generic.h"

namespace minke::cpu::MINKE_ISA_NS {
namespace {

inline __m128i load16(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
inline __m256i load32(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }

/// n halves, `stride` bytes apart, each followed by at least two bytes of its block.
inline void halves_to_float(const void* first, size_t stride, int n, float* out) {
  const auto* p = static_cast<const uint8_t*>(first);
#ifdef __AVX512F__
  const __m512i steps = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const __m512i offsets = _mm512_mullo_epi32(steps, _mm512_set1_epi32(static_cast<int>(stride)));
  for (; n > 0; n -= 16, p += 16 * stride, out += 16) {
    const auto mask = static_cast<__mmask16>(n >= 16 ? 0xFFFF : (1 << n) - 1);
    const __m512i words = _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), mask, offsets, p, 1);
    _mm512_mask_storeu_ps(out, mask, _mm512_cvtph_ps(_mm512_cvtepi32_epi16(words)));
  }
#else
  for (int i = 0; i < n; ++i, p += stride) {
    uint16_t half;
    std::memcpy(&half, p, 2);
    out[i] = half_to_float(half);
  }
#endif
}

/// out[i] = d * the i-th of 16 signed bytes.
inline void bytes_to_scales(__m128i bytes, float d, float* out) {
#ifdef __AVX512F__
  const __m512 floats = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
  _mm512_storeu_ps(out, _mm512_mul_ps(floats, _mm512_set1_ps(d)));
#else
  const __m256 low = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
  const __m256 high = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8)));
  _mm256_storeu_ps(out, _mm256_mul_ps(low, _mm256_set1_ps(d)));
  _mm256_storeu_ps(out + 8, _mm256_mul_ps(high, _mm256_set1_ps(d)));
#endif
}

/// Scales and negated mins of a block of Q4_K or Q5_K, whose first 16 bytes are d, dmin and the 12
/// bytes that k_scales.h draws.
inline void k_scales_to_float(const void* block, float* scale, float* min) {
  const __m128i head = load16(block);
  // Per dword: s[0..3], s[4..7], m[0..3], m[4..7]; first the low bits, then the top two of s4.. m7.
  const __m128i low_bytes = _mm_shuffle_epi8(
      head, _mm_setr_epi8(4, 5, 6, 7, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15));
  const __m128i low = _mm_and_si128(_mm_srlv_epi32(low_bytes, _mm_setr_epi32(0, 0, 0, 4)),
                                    _mm_setr_epi32(0x3F3F3F3F, 0x0F0F0F0F, 0x3F3F3F3F, 0x0F0F0F0F));
  const __m128i top_bytes = _mm_shuffle_epi8(
      head, _mm_setr_epi8(-1, -1, -1, -1, 4, 5, 6, 7, -1, -1, -1, -1, 8, 9, 10, 11));
  const __m128i top = _mm_and_si128(_mm_srli_epi32(top_bytes, 2), _mm_set1_epi8(0x30));
  const __m128i all = _mm_or_si128(low, top);

  const __m128 d = _mm_cvtph_ps(head);
  const __m256 ds = _mm256_broadcastss_ps(d);
  const __m256 d_mins = _mm256_broadcastss_ps(_mm_xor_ps(_mm_movehdup_ps(d), _mm_set1_ps(-0.0f)));
  const __m256 scales = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(all));
  const __m256 mins = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(all, 8)));
  _mm256_storeu_ps(scale, _mm256_mul_ps(scales, ds));
  _mm256_storeu_ps(min, _mm256_mul_ps(mins, d_mins));
}

/// The sixteen scales of a Q3_K block, less 32.
inline __m128i q3_scales(const BlockQ3_K& block) {
  const __m128i packed = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(block.scales_low));
  const __m128i low =
      _mm_and_si128(_mm_unpacklo_epi64(packed, _mm_srli_epi16(packed, 4)), _mm_set1_epi8(15));
  int32_t top;
  std::memcpy(&top, block.scales_high, 4);
  const __m128i shifted = _mm_srlv_epi32(_mm_set1_epi32(top), _mm_setr_epi32(0, 2, 4, 6));
  const __m128i high = _mm_slli_epi16(_mm_and_si128(shifted, _mm_set1_epi8(3)), 4);
  return _mm_sub_epi8(_mm_or_si128(low, high), _mm_set1_epi8(32));
}

}  // namespace
}  // namespace minke::cpu::MINKE_ISA_NS
