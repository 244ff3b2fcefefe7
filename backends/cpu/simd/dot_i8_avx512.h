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
inline VI splat_byte(int value) { return _mm512_set1_epi8(static_cast<char>(value)); }
inline VI and_bits(VI a, VI b) { return _mm512_and_si512(a, b); }
inline VI or_bits(VI a, VI b) { return _mm512_or_si512(a, b); }
inline VI xor_bits(VI a, VI b) { return _mm512_xor_si512(a, b); }
inline VI shift_right(VI v, int n) { return _mm512_srli_epi32(v, static_cast<unsigned>(n)); }
inline VI shift_left(VI v, int n) { return _mm512_slli_epi32(v, static_cast<unsigned>(n)); }
/// Byte i = table[index byte i], indices below 16.
inline VI look_up(__m128i table, VI index) {
  return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(table), index);
}
/// 16 in byte i of a lane where bit 4 * quad + i of the lane is set.
inline VI fifth_bits(VI bits, int quad) {
  const VI spread = _mm512_setr_epi32(0, 0x10, 0x1000, 0x1010, 0x100000, 0x100010, 0x101000,
                                      0x101010, 0x10000000, 0x10000010, 0x10001000, 0x10001010,
                                      0x10100000, 0x10100010, 0x10101000, 0x10101010);
  return _mm512_permutexvar_epi32(shift_right(bits, 4 * quad), spread);
}
inline VF to_float(VI v) { return _mm512_cvtepi32_ps(v); }
/// The halves in the lower 16 bits of the lanes.
inline VF low_halves(VI dwords) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(dwords)); }
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
  /// step with splat4(x), as one instruction: GCC 12 makes two of it.
  [[gnu::always_inline]] static VI step_splat(VI acc, VI w, const int8_t* x) {
    asm("vpdpbusd %2%{1to16%}, %1, %0"
        : "+v"(acc)
        : "v"(w), "m"(*reinterpret_cast<const int8_t(*)[4]>(x)));
    return acc;
  }
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

/// 16 bytes from each place, one a 128-bit lane.
[[gnu::always_inline]] inline VI load_lanes(const void* a, const void* b, const void* c,
                                            const void* d) {
  const auto load = [](const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); };
  VI v = _mm512_castsi128_si512(load(a));
  v = _mm512_inserti32x4(v, load(b), 1);
  v = _mm512_inserti32x4(v, load(c), 2);
  return _mm512_inserti32x4(v, load(d), 3);
}

/// 16 bytes of rows i, i + 4, i + 8 and i + 12, one a 128-bit lane; row(r) points to those of row
/// r.
template <class Row>
[[gnu::always_inline]] inline VI load_every_fourth(const Row& row, int i) {
  return load_lanes(row(i), row(i + 4), row(i + 8), row(i + 12));
}

/// In every 128-bit lane: out[i], dword j = dword i of v[j].
inline void transpose_dwords(const VI (&v)[4], VI (&out)[4]) {
  const VI lo01 = _mm512_unpacklo_epi32(v[0], v[1]), hi01 = _mm512_unpackhi_epi32(v[0], v[1]);
  const VI lo23 = _mm512_unpacklo_epi32(v[2], v[3]), hi23 = _mm512_unpackhi_epi32(v[2], v[3]);
  out[0] = _mm512_unpacklo_epi64(lo01, lo23);
  out[1] = _mm512_unpackhi_epi64(lo01, lo23);
  out[2] = _mm512_unpacklo_epi64(hi01, hi23);
  out[3] = _mm512_unpackhi_epi64(hi01, hi23);
}

/// out[i], lane r = dword i of the 32 bytes at row(r).
template <class Row>
[[gnu::always_inline]] inline void load_32_bytes(const Row& row, VI (&low)[4], VI (&high)[4]) {
  VI quads[2][4];
  for (int half = 0; half < 2; ++half) {
    VI v[4];
    for (int i = 0; i < 4; ++i) {
      const auto load = [&](int r) {
        return _mm256_loadu_si256(static_cast<const __m256i*>(static_cast<const void*>(row(r))));
      };
      v[i] =
          _mm512_inserti64x4(_mm512_castsi256_si512(load(8 * half + i)), load(8 * half + i + 4), 1);
    }
    transpose_dwords(v, quads[half]);
  }
  for (int i = 0; i < 4; ++i) {
    low[i] = _mm512_shuffle_i32x4(quads[0][i], quads[1][i], 0x88);
    high[i] = _mm512_shuffle_i32x4(quads[0][i], quads[1][i], 0xDD);
  }
}

/// out[i], 128-bit lane j = lane i of v[j].
inline void transpose_lanes(const VI (&v)[4], VI (&out)[4]) {
  const VI a = _mm512_shuffle_i32x4(v[0], v[1], 0x44), b = _mm512_shuffle_i32x4(v[0], v[1], 0xEE);
  const VI c = _mm512_shuffle_i32x4(v[2], v[3], 0x44), d = _mm512_shuffle_i32x4(v[2], v[3], 0xEE);
  out[0] = _mm512_shuffle_i32x4(a, c, 0x88);
  out[1] = _mm512_shuffle_i32x4(a, c, 0xDD);
  out[2] = _mm512_shuffle_i32x4(b, d, 0x88);
  out[3] = _mm512_shuffle_i32x4(b, d, 0xDD);
}

/// dst vector i, lane r = dword i of row r.
inline void transpose(const uint8_t* src, size_t row_stride, uint8_t* dst, size_t dst_stride) {
  for (size_t piece = 0; piece < 4; ++piece) {
    VI v[4], out[4];
    const auto row = [&](int r) { return src + static_cast<size_t>(r) * row_stride + 16 * piece; };
    for (int i = 0; i < 4; ++i) v[i] = load_every_fourth(row, i);
    transpose_dwords(v, out);
    for (size_t i = 0; i < 4; ++i) _mm512_storeu_si512(dst + (4 * piece + i) * dst_stride, out[i]);
  }
}

/// In every 128-bit lane: dword i = the sum of that lane of v[i].
inline VI sum_lanes(const VI (&v)[4]) {
  const VI ab = add_i32(_mm512_unpacklo_epi32(v[0], v[1]), _mm512_unpackhi_epi32(v[0], v[1]));
  const VI cd = add_i32(_mm512_unpacklo_epi32(v[2], v[3]), _mm512_unpackhi_epi32(v[2], v[3]));
  return add_i32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
}

/// The same for dwords whose sum by twos fits in 16 bits.
inline VI sum_small_lanes(const VI (&v)[4]) {
  const VI ones = _mm512_set1_epi16(1);
  const VI ab = _mm512_madd_epi16(_mm512_packs_epi32(v[0], v[1]), ones);
  const VI cd = _mm512_madd_epi16(_mm512_packs_epi32(v[2], v[3]), ones);
  return _mm512_madd_epi16(_mm512_packs_epi32(ab, cd), ones);
}

/// out[g], lane r = sum of lanes 4g .. 4g + 3 of rows[r].
inline void sum_rows(const VI (&rows)[kLanes], VI (&out)[kLanes / 4]) {
  VI quads[4];
  for (int i = 0; i < 4; ++i)
    quads[i] = sum_lanes({rows[4 * i], rows[4 * i + 1], rows[4 * i + 2], rows[4 * i + 3]});
  transpose_lanes(quads, out);
}

}  // namespace
}  // namespace minke::cpu::MINKE_ISA_NS
