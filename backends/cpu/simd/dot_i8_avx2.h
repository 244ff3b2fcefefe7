// dot_i8.h for AVX2 with FMA and F16C, and with AVX-VNNI where the compiler has it switched on.
#pragma once

#include <immintrin.h>

#include "backends/cpu/simd/vec_f32.h"

namespace minke::cpu::MINKE_ISA_NS {
namespace {

using VI = __m256i;
inline constexpr int kLanes = 8;

inline VI load_bytes(const void* p) { return _mm256_loadu_si256(static_cast<const VI*>(p)); }
inline void store_bytes(void* p, VI v) { _mm256_storeu_si256(static_cast<VI*>(p), v); }
inline VI splat_i32(int32_t v) { return _mm256_set1_epi32(v); }
inline VI splat4(const int8_t* p) {
  int32_t v;
  std::memcpy(&v, p, 4);
  return _mm256_set1_epi32(v);
}
inline VI add_i32(VI a, VI b) { return _mm256_add_epi32(a, b); }
inline VI splat_byte(int value) { return _mm256_set1_epi8(static_cast<char>(value)); }
inline VI and_bits(VI a, VI b) { return _mm256_and_si256(a, b); }
inline VI or_bits(VI a, VI b) { return _mm256_or_si256(a, b); }
inline VI xor_bits(VI a, VI b) { return _mm256_xor_si256(a, b); }
inline VI shift_right(VI v, int n) { return _mm256_srli_epi32(v, n); }
inline VI shift_left(VI v, int n) { return _mm256_slli_epi32(v, n); }
/// Byte i = table[index byte i], indices below 16.
inline VI look_up(__m128i table, VI index) {
  return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), index);
}
/// 16 in byte i of a lane where bit 4 * quad + i of the lane is set.
inline VI fifth_bits(VI bits, int quad) {
  const int byte = quad / 2 * 0x01010101;
  const VI places = _mm256_broadcastsi128_si256(
      _mm_setr_epi32(byte, byte + 0x04040404, byte + 0x08080808, byte + 0x0C0C0C0C));
  const VI bit = splat_i32(quad % 2 == 0 ? 0x08040201 : static_cast<int>(0x80402010));
  const VI found = _mm256_and_si256(_mm256_shuffle_epi8(bits, places), bit);
  return _mm256_and_si256(_mm256_cmpeq_epi8(found, bit), _mm256_set1_epi8(16));
}
inline VF to_float(VI v) { return _mm256_cvtepi32_ps(v); }
/// The halves in the lower 16 bits of the lanes.
inline VF low_halves(VI dwords) {
  const VI halves = _mm256_and_si256(dwords, _mm256_set1_epi32(0xFFFF));
  return _mm256_cvtph_ps(
      _mm_packus_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1)));
}
inline VF bits_as_float(VI v) { return _mm256_castsi256_ps(v); }

/// factor * (p[2i] + p[2i + 1]) in lane i.
inline VI scaled_pair_sums(const int16_t* p, int16_t factor) {
  return _mm256_madd_epi16(load_bytes(p), _mm256_set1_epi16(factor));
}
/// factor * p[i] in lane i.
inline VI scaled_sums(const int16_t* p, int16_t factor) {
  const __m128i sums = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm256_mullo_epi32(_mm256_cvtepi16_epi32(sums), _mm256_set1_epi32(factor));
}

#ifdef __AVXVNNI__

inline constexpr int kFullBias = 128;

template <Range kRange>
struct Dot {
  static constexpr int kFlush = 0;
  static VI step(VI acc, VI w, VI x) { return _mm256_dpbusd_avx_epi32(acc, w, x); }
};

#else

inline constexpr int kFullBias = 0;

template <Range kRange>
struct Dot {
  static constexpr int kFlush = kRange == Range::k4 ? 8 : kRange == Range::k5 ? 4 : 2;
  static VI first(VI w, VI x) { return _mm256_maddubs_epi16(w, x); }
  static VI step(VI part, VI w, VI x) { return _mm256_add_epi16(part, first(w, x)); }
  static VI flush(VI acc, VI part) {
    return _mm256_add_epi32(acc, _mm256_madd_epi16(part, _mm256_set1_epi16(1)));
  }
};

// Signed weights: |w| times x with the sign of w; 2 * 128 * 127 still fits in 16 bits.
template <>
struct Dot<Range::kFull> {
  static constexpr int kFlush = 1;
  static VI first(VI w, VI x) {
    return _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
  }
  static VI step(VI part, VI w, VI x) { return _mm256_add_epi16(part, first(w, x)); }
  static VI flush(VI acc, VI part) { return Dot<Range::k6>::flush(acc, part); }
};

#endif

/// 16 bytes of rows i and i + 4, one a 128-bit lane; row(r) points to those of row r.
template <class Row>
[[gnu::always_inline]] inline VI load_every_fourth(const Row& row, int i) {
  const auto load = [](const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); };
  return _mm256_inserti128_si256(_mm256_castsi128_si256(load(row(i))), load(row(i + 4)), 1);
}

/// In every 128-bit lane: out[i], dword j = dword i of v[j].
inline void transpose_dwords(const VI (&v)[4], VI (&out)[4]) {
  const VI lo01 = _mm256_unpacklo_epi32(v[0], v[1]), hi01 = _mm256_unpackhi_epi32(v[0], v[1]);
  const VI lo23 = _mm256_unpacklo_epi32(v[2], v[3]), hi23 = _mm256_unpackhi_epi32(v[2], v[3]);
  out[0] = _mm256_unpacklo_epi64(lo01, lo23);
  out[1] = _mm256_unpackhi_epi64(lo01, lo23);
  out[2] = _mm256_unpacklo_epi64(hi01, hi23);
  out[3] = _mm256_unpackhi_epi64(hi01, hi23);
}

/// dst vector i, lane r = dword i of row r.
inline void transpose(const uint8_t* src, size_t row_stride, uint8_t* dst, size_t dst_stride) {
  for (size_t piece = 0; piece < 2; ++piece) {
    VI v[4], out[4];
    const auto row = [&](int r) { return src + static_cast<size_t>(r) * row_stride + 16 * piece; };
    for (int i = 0; i < 4; ++i) v[i] = load_every_fourth(row, i);
    transpose_dwords(v, out);
    for (size_t i = 0; i < 4; ++i) store_bytes(dst + (4 * piece + i) * dst_stride, out[i]);
  }
}

/// In every 128-bit lane: the sums of that lane of a, b, c and d.
inline VI sum_lanes(VI a, VI b, VI c, VI d) {
  return _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
}

/// out[g], lane r = sum of lanes 4g .. 4g + 3 of rows[r].
inline void sum_rows(const VI (&rows)[kLanes], VI (&out)[kLanes / 4]) {
  const VI t0 = sum_lanes(rows[0], rows[1], rows[2], rows[3]);
  const VI t1 = sum_lanes(rows[4], rows[5], rows[6], rows[7]);
  out[0] = _mm256_permute2x128_si256(t0, t1, 0x20);
  out[1] = _mm256_permute2x128_si256(t0, t1, 0x31);
}

}  // namespace
}  // namespace minke::cpu::MINKE_ISA_NS
