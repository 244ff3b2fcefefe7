// Float vectors of the instruction set that this translation unit is compiled for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <xsimd/xsimd.hpp>

#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace minke::cpu::MINKE_ISA_NS {
namespace {

using VF = xsimd::batch<float>;
inline constexpr int kFloats = static_cast<int>(VF::size);

#if defined(__FMA__) || defined(__aarch64__)
inline constexpr bool kHasFma = true;
#else
inline constexpr bool kHasFma = false;
#endif

inline VF load(const float* p) { return VF::load_unaligned(p); }
inline void store(float* p, VF v) { v.store_unaligned(p); }
inline VF splat(float v) { return VF(v); }
/// a * b + c, rounded once where the instruction set has it. (xsimd 8.1 rounds twice on AVX-512.)
inline VF madd(VF a, VF b, VF c) {
#if defined(__AVX512F__)
  return _mm512_fmadd_ps(a, b, c);
#else
  return xsimd::fma(a, b, c);
#endif
}

/// The first n < kFloats values, zeros behind them. Reads nothing beyond.
inline VF load_some(const float* p, int n) {
  alignas(64) float values[kFloats] = {};
  for (int i = 0; i < n; ++i) values[i] = p[i];
  return VF::load_aligned(values);
}
inline void store_some(float* p, VF v, int n) {
  alignas(64) float values[kFloats];
  v.store_aligned(values);
  for (int i = 0; i < n; ++i) p[i] = values[i];
}
/// out = sums of a's, b's, c's and d's values; which other vectors are summed with one makes no
/// difference to its sum.
inline void sums_of_4(VF a, VF b, VF c, VF d, float* out) {
#if defined(__AVX512F__)
  const VF ab = VF(_mm512_unpacklo_ps(a, b)) + VF(_mm512_unpackhi_ps(a, b));
  const VF cd = VF(_mm512_unpacklo_ps(c, d)) + VF(_mm512_unpackhi_ps(c, d));
  const __m512 lanes =
      VF(_mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd)))) +
      VF(_mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd))));
  const __m256 half =
      _mm256_add_ps(_mm512_castps512_ps256(lanes), _mm512_extractf32x8_ps(lanes, 1));
  _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
#elif defined(__AVX2__)
  const __m256 lanes = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
  _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps(lanes, 1)));
#elif defined(__aarch64__)
  vst1q_f32(out, vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c, d)));
#else
  const VF vectors[4] = {a, b, c, d};
  for (int v = 0; v < 4; ++v) {
    float x[kFloats];
    store(x, vectors[v]);
    out[v] = (x[0] + x[1]) + (x[2] + x[3]);
  }
#endif
}

inline float greatest(VF v) {
#if defined(__AVX512F__)
  return _mm512_reduce_max_ps(v);
#else
  alignas(64) float x[kFloats];
  v.store_aligned(x);
  for (int n = kFloats / 2; n > 0; n /= 2)
    for (int i = 0; i < n; ++i) x[i] = x[i] > x[i + n] ? x[i] : x[i + n];
  return x[0];
#endif
}

inline float sum(VF v) {
  float sums[4];
  const VF zero(0.0f);
  sums_of_4(v, zero, zero, zero, sums);
  return sums[0];
}

}  // namespace
}  // namespace minke::cpu::MINKE_ISA_NS
