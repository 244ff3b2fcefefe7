// dot_i8.h for AVX-512 F, BW, DQ and VL, with VNNI where the compiler has it switched on.
#pragma once

#include <immintrin.h>

#include "backends/cpu/simd/vec_f32.h"

namespace minke::cpu::MINKE_ISA_NS {
namespace {

using VI = __m512i;
inline constexpr int kLanes = 16;

inline VI load_bytes(const void* p) { return _mm512_loadu_si512(p); }
inline void store_bytes(void* p, VI v) { _mm512_storeu_si512(p, v); }
inline VI splat_i32(int32_t v) { return _mm512_set1_epi32(v); }
inline VI splat4(const int8_t* p) {
  int32_t v;
  std::memcpy(&v, p, 4);
  return _mm512_set1_epi32(v);
}
inline VI add_i32(VI a, VI b) { return _mm512_add_epi32(a, b); }
inline VF to_float(VI v) { return _mm512_cvtepi32_ps(v); }
inline VF bits_as_float(VI v) { return _mm512_castsi512_ps(v); }

/// factor * (p[2i] + p[2i + 1]) in lane i.
inline VI scaled_pair_sums(const int16_t* p, int16_t factor) {
  return _mm512_madd_epi16(_mm512_loadu_si512(p), _mm512_set1_epi16(factor));
}
/// factor * p[i] in lane i.
inline VI scaled_sums(const int16_t* p, int16_t factor) {
  const __m256i sums = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return _mm512_mullo_epi32(_mm512_cvtepi16_epi32(sums), _mm512_set1_epi32(factor));
}

#ifdef __AVX512VNNI__

inline constexpr int kFullBias = 128;

template <Range kRange>
struct Dot {
  static constexpr int kFlush = 0;
  static VI step(VI acc, VI w, VI x) { return _mm512_dpbusd_epi32(acc, w, x); }
};

#else

inline constexpr int kFullBias = 0;

template <Range kRange>
struct Dot {
  static constexpr int kFlush = kRange == Range::k4 ? 8 : kRange == Range::k5 ? 4 : 2;
  static VI first(VI w, VI x) { return _mm512_maddubs_epi16(w, x); }
  static VI step(VI part, VI w, VI x) { return _mm512_add_epi16(part, first(w, x)); }
  static VI flush(VI acc, VI part) {
    return _mm512_add_epi32(acc, _mm512_madd_epi16(part, _mm512_set1_epi16(1)));
  }
};

// Signed weights: |w| times x with the sign of w; 2 * 128 * 127 still fits in 16 bits.
template <>
struct Dot<Range::kFull> {
  static constexpr int kFlush = 1;
  static VI first(VI w, VI x) {
    const VI signed_x = _mm512_mask_sub_epi8(x, _mm512_movepi8_mask(w), _mm512_setzero_si512(), x);
    return _mm512_maddubs_epi16(_mm512_abs_epi8(w), signed_x);
  }
  static VI step(VI part, VI w, VI x) { return _mm512_add_epi16(part, first(w, x)); }
  static VI flush(VI acc, VI part) { return Dot<Range::k6>::flush(acc, part); }
};

#endif

/// Rows i, i + 4, i + 8, i + 12: the 16 bytes at `p` of row i and so on, one a 128-bit lane.
inline VI load_lanes(const uint8_t* p, size_t row_stride) {
  __m512i v = _mm512_castsi128_si512(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  for (int lane = 1; lane < 4; ++lane) {
    const uint8_t* row = p + 4 * static_cast<size_t>(lane) * row_stride;
    const __m512i wide =
        _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(row)));
    v = _mm512_mask_mov_epi32(v, static_cast<__mmask16>(0xF << (4 * lane)), wide);
  }
  return v;
}

/// dst vector i, lane r = dword i of row r.
inline void transpose(const uint8_t* src, size_t row_stride, uint8_t* dst, size_t dst_stride) {
  for (size_t piece = 0; piece < 4; ++piece) {
    VI v[4];
    for (size_t i = 0; i < 4; ++i) v[i] = load_lanes(src + i * row_stride + 16 * piece, row_stride);
    const VI lo01 = _mm512_unpacklo_epi32(v[0], v[1]), hi01 = _mm512_unpackhi_epi32(v[0], v[1]);
    const VI lo23 = _mm512_unpacklo_epi32(v[2], v[3]), hi23 = _mm512_unpackhi_epi32(v[2], v[3]);
    uint8_t* out = dst + 4 * piece * dst_stride;
    _mm512_storeu_si512(out, _mm512_unpacklo_epi64(lo01, lo23));
    _mm512_storeu_si512(out + dst_stride, _mm512_unpackhi_epi64(lo01, lo23));
    _mm512_storeu_si512(out + 2 * dst_stride, _mm512_unpacklo_epi64(hi01, hi23));
    _mm512_storeu_si512(out + 3 * dst_stride, _mm512_unpackhi_epi64(hi01, hi23));
  }
}

/// In every 128-bit lane: the sums of that lane of a, b, c and d.
inline VI sum_lanes(VI a, VI b, VI c, VI d) {
  const VI ab = add_i32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
  const VI cd = add_i32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
  return add_i32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
}

/// out[g], lane r = sum of lanes 4g .. 4g + 3 of rows[r].
inline void sum_rows(const VI (&rows)[kLanes], VI (&out)[kLanes / 4]) {
  const VI t0 = sum_lanes(rows[0], rows[1], rows[2], rows[3]);
  const VI t1 = sum_lanes(rows[4], rows[5], rows[6], rows[7]);
  const VI t2 = sum_lanes(rows[8], rows[9], rows[10], rows[11]);
  const VI t3 = sum_lanes(rows[12], rows[13], rows[14], rows[15]);
  const VI a = _mm512_shuffle_i32x4(t0, t1, 0x44), b = _mm512_shuffle_i32x4(t0, t1, 0xEE);
  const VI c = _mm512_shuffle_i32x4(t2, t3, 0x44), d = _mm512_shuffle_i32x4(t2, t3, 0xEE);
  out[0] = _mm512_shuffle_i32x4(a, c, 0x88);
  out[1] = _mm512_shuffle_i32x4(a, c, 0xDD);
  out[2] = _mm512_shuffle_i32x4(b, d, 0x88);
  out[3] = _mm512_shuffle_i32x4(b, d, 0xDD);
}

}  // namespace
}  // namespace minke::cpu::MINKE_ISA_NS
