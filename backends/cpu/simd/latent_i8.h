// What latent attention does with integer vectors beyond dot_i8.h: floats to bytes and to 16 bits,
// four rows interleaved, and products with keys, probabilities and 16-bit numbers.
#pragma once

#include "backends/cpu/simd/dot_i8.h"

namespace minke::cpu::MINKE_ISA_NS {
namespace {

/// Bytes in a vector.
inline constexpr int kVectorBytes = 4 * kLanes;

#if defined(__AVX512BW__)

// Rounded to nearest even. The order of the packed values is any, but always the same; after
// interleave() it is the order of the columns again.
inline VI pack_bytes(VF a, VF b, VF c, VF d) {
  return _mm512_packs_epi16(_mm512_packs_epi32(_mm512_cvtps_epi32(a), _mm512_cvtps_epi32(b)),
                            _mm512_packs_epi32(_mm512_cvtps_epi32(c), _mm512_cvtps_epi32(d)));
}
inline VI pack_words(VF a, VF b) {
  return _mm512_packs_epi32(_mm512_cvtps_epi32(a), _mm512_cvtps_epi32(b));
}
/// Bytes in the order of their columns, in the order that pack_bytes() gives.
inline VI order_bytes(VI v) {
  const VI from = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  return _mm512_permutexvar_epi32(from, v);
}
/// What pack_bytes() and pack_words() gave, in the order of the columns.
inline VI bytes_in_order(VI v) { return order_bytes(v); }
inline VI words_in_order(VI v) {
  return _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), v);
}

/// out[i], lane c = byte of column kLanes * i + c of rows 0 to 3, which pack_bytes() gave.
inline void interleave(const VI (&row)[4], VI (&out)[4]) {
  const VI lo01 = _mm512_unpacklo_epi8(row[0], row[1]), hi01 = _mm512_unpackhi_epi8(row[0], row[1]);
  const VI lo23 = _mm512_unpacklo_epi8(row[2], row[3]), hi23 = _mm512_unpackhi_epi8(row[2], row[3]);
  out[0] = _mm512_unpacklo_epi16(lo01, lo23);
  out[1] = _mm512_unpackhi_epi16(lo01, lo23);
  out[2] = _mm512_unpacklo_epi16(hi01, hi23);
  out[3] = _mm512_unpackhi_epi16(hi01, hi23);
}

/// acc + two products a lane of 16-bit numbers, the second ones from four bytes of memory.
[[gnu::always_inline]] inline VI dot_words(VI acc, VI a, const int8_t* b) {
#ifdef __AVX512VNNI__
  asm("vpdpwssd %2%{1to16%}, %1, %0"  // GCC 12 makes two instructions of it
      : "+v"(acc)
      : "v"(a), "m"(*reinterpret_cast<const int8_t(*)[4]>(b)));
  return acc;
#else
  return _mm512_add_epi32(acc, _mm512_madd_epi16(a, splat4(b)));
#endif
}

#elif defined(__AVX2__)

inline VI pack_bytes(VF a, VF b, VF c, VF d) {
  return _mm256_packs_epi16(_mm256_packs_epi32(_mm256_cvtps_epi32(a), _mm256_cvtps_epi32(b)),
                            _mm256_packs_epi32(_mm256_cvtps_epi32(c), _mm256_cvtps_epi32(d)));
}
inline VI pack_words(VF a, VF b) {
  return _mm256_packs_epi32(_mm256_cvtps_epi32(a), _mm256_cvtps_epi32(b));
}
inline VI order_bytes(VI v) {
  return _mm256_permutevar8x32_epi32(v, _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7));
}
inline VI bytes_in_order(VI v) {
  return _mm256_permutevar8x32_epi32(v, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}
inline VI words_in_order(VI v) { return _mm256_permute4x64_epi64(v, 0xD8); }

inline void interleave(const VI (&row)[4], VI (&out)[4]) {
  const VI lo01 = _mm256_unpacklo_epi8(row[0], row[1]), hi01 = _mm256_unpackhi_epi8(row[0], row[1]);
  const VI lo23 = _mm256_unpacklo_epi8(row[2], row[3]), hi23 = _mm256_unpackhi_epi8(row[2], row[3]);
  out[0] = _mm256_unpacklo_epi16(lo01, lo23);
  out[1] = _mm256_unpackhi_epi16(lo01, lo23);
  out[2] = _mm256_unpacklo_epi16(hi01, hi23);
  out[3] = _mm256_unpackhi_epi16(hi01, hi23);
}

inline VI dot_words(VI acc, VI a, const int8_t* b) {
#ifdef __AVXVNNI__
  return _mm256_dpwssd_avx_epi32(acc, a, splat4(b));
#else
  return _mm256_add_epi32(acc, _mm256_madd_epi16(a, splat4(b)));
#endif
}

#elif defined(__aarch64__)

inline int16x8_t words_of(VF a, VF b) {
  return vcombine_s16(vqmovn_s32(vcvtnq_s32_f32(a)), vqmovn_s32(vcvtnq_s32_f32(b)));
}
inline VI pack_words(VF a, VF b) { return vreinterpretq_s32_s16(words_of(a, b)); }
inline VI pack_bytes(VF a, VF b, VF c, VF d) {
  return vreinterpretq_s32_s8(vcombine_s8(vqmovn_s16(words_of(a, b)), vqmovn_s16(words_of(c, d))));
}
inline VI order_bytes(VI v) { return v; }
inline VI bytes_in_order(VI v) { return v; }
inline VI words_in_order(VI v) { return v; }

inline void interleave(const VI (&row)[4], VI (&out)[4]) {
  const auto bytes = [&](int i) { return vreinterpretq_s8_s32(row[i]); };
  const int16x8_t lo01 = vreinterpretq_s16_s8(vzip1q_s8(bytes(0), bytes(1)));
  const int16x8_t hi01 = vreinterpretq_s16_s8(vzip2q_s8(bytes(0), bytes(1)));
  const int16x8_t lo23 = vreinterpretq_s16_s8(vzip1q_s8(bytes(2), bytes(3)));
  const int16x8_t hi23 = vreinterpretq_s16_s8(vzip2q_s8(bytes(2), bytes(3)));
  out[0] = vreinterpretq_s32_s16(vzip1q_s16(lo01, lo23));
  out[1] = vreinterpretq_s32_s16(vzip2q_s16(lo01, lo23));
  out[2] = vreinterpretq_s32_s16(vzip1q_s16(hi01, hi23));
  out[3] = vreinterpretq_s32_s16(vzip2q_s16(hi01, hi23));
}

inline VI dot_words(VI acc, VI a, const int8_t* b) {
  const int16x8_t x = vreinterpretq_s16_s32(a), y = vreinterpretq_s16_s32(splat4(b));
  return vaddq_s32(acc,
                   vpaddq_s32(vmull_s16(vget_low_s16(x), vget_low_s16(y)), vmull_high_s16(x, y)));
}

#else

/// The integers of four floats of at most 2^22, rounded to nearest even. Not-a-number is some
/// number.
inline void round_values(VF x, int32_t* out) {
  float values[kLanes];
  store(values, x + splat(0x1.8p23f));
  for (int i = 0; i < kLanes; ++i) {
    std::memcpy(out + i, values + i, 4);
    out[i] -= 0x4B400000;
  }
}
inline VI pack_bytes(VF a, VF b, VF c, VF d) {
  int32_t values[4 * kLanes];
  round_values(a, values);
  round_values(b, values + kLanes);
  round_values(c, values + 2 * kLanes);
  round_values(d, values + 3 * kLanes);
  VI v;
  for (int i = 0; i < 4 * kLanes; ++i) v.byte[i] = static_cast<int8_t>(values[i]);
  return v;
}
inline VI pack_words(VF a, VF b) {
  int32_t values[2 * kLanes];
  round_values(a, values);
  round_values(b, values + kLanes);
  int16_t words[2 * kLanes];
  for (int i = 0; i < 2 * kLanes; ++i) words[i] = static_cast<int16_t>(values[i]);
  return load_bytes(words);
}
inline VI order_bytes(VI v) { return v; }
inline VI bytes_in_order(VI v) { return v; }
inline VI words_in_order(VI v) { return v; }

inline void interleave(const VI (&row)[4], VI (&out)[4]) {
  for (int i = 0; i < 4; ++i)
    for (int c = 0; c < kLanes; ++c)
      for (int r = 0; r < 4; ++r) out[i].byte[4 * c + r] = row[r].byte[kLanes * i + c];
}

inline VI dot_words(VI acc, VI a, const int8_t* b) {
  int16_t x[2 * kLanes], y[2];
  store_bytes(x, a);
  std::memcpy(y, b, sizeof(y));
  for (int i = 0; i < kLanes; ++i) acc.lane[i] += x[2 * i] * y[0] + x[2 * i + 1] * y[1];
  return acc;
}

#endif

/// acc + four products a lane of query bytes, which are biased(), with the four signed bytes of a
/// key.
template <class D = Dot<Range::kFull>>
[[gnu::always_inline]] inline VI dot_key(VI acc, VI query, const int8_t* key) {
  if constexpr (requires { &D::step_splat; }) {
    return D::step_splat(acc, query, key);
  } else if constexpr (D::kFlush == 0) {
    return D::step(acc, query, splat4(key));
  } else {
    return D::flush(acc, D::first(query, splat4(key)));
  }
}

/// The same of values, which are biased(), with weights of 0 to 127: two products of a k6 step
/// still fit in 16 bits.
template <class D = Dot<Range::k6>>
inline VI dot_weight(VI acc, VI value, VI weight) {
  if constexpr (kFullBias != 0) {
    return D::step(acc, value, weight);
  } else if constexpr (D::kFlush == 0) {
    return D::step(acc, weight, value);
  } else {
    return D::flush(acc, D::first(weight, value));
  }
}

/// Signed bytes as queries and values are stored, to be multiplied with signed ones.
inline VI biased(VI v) {
#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)
  static_assert(kFullBias == 128);
  return xor_bits(v, splat_byte(kFullBias));
#else
  static_assert(kFullBias == 0);
  return v;
#endif
}

// What sums of products with a key's bytes start at, to take back the bias of the queries: made of
// all its bytes, a vector after the other.
#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)
inline VI add_for_start(VI sums, VI bytes) {
  return Dot<Range::kFull>::step(sums, splat_byte(1), bytes);
}
inline int32_t start_of(VI sums) {
  int32_t lanes[kLanes], sum = 0;
  store_bytes(lanes, sums);
  for (const int32_t lane : lanes) sum += lane;
  return -kFullBias * sum;
}
#else
inline VI add_for_start(VI sums, VI) { return sums; }
inline int32_t start_of(VI) { return 0; }
#endif

}  // namespace
}  // namespace minke::cpu::MINKE_ISA_NS
