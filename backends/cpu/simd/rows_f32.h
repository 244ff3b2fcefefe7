// Rows of F32, F16 and BF16 as float vectors.
#pragma once

#include "backends/cpu/simd/half.h"
#include "backends/cpu/simd/vec_f32.h"

#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace minke::cpu::MINKE_ISA_NS {
namespace {

// kFloats halves at p, of any alignment.
#if defined(__AVX512F__)
inline VF load_f16(const uint16_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline VF load_bf16(const uint16_t* p) {
  const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}
#elif defined(__AVX2__)
inline VF load_f16(const uint16_t* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
inline VF load_bf16(const uint16_t* p) {
  const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}
#elif defined(__aarch64__)
inline VF load_f16(const uint16_t* p) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p))); }
inline VF load_bf16(const uint16_t* p) {
  return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16));
}
#else
inline VF load_f16(const uint16_t* p) {
  float values[kFloats];
  for (int i = 0; i < kFloats; ++i) values[i] = f16_to_f32(p[i]);
  return load(values);
}
inline VF load_bf16(const uint16_t* p) {
  float values[kFloats];
  for (int i = 0; i < kFloats; ++i) values[i] = bf16_to_f32(p[i]);
  return load(values);
}
#endif

// How a row is stored: Element, and load() of kFloats of them.
struct RowF32 {
  using Element = float;
  static VF load(const Element* p) { return MINKE_ISA_NS::load(p); }
};
struct RowF16 {
  using Element = uint16_t;
  static VF load(const Element* p) { return load_f16(p); }
};
struct RowBF16 {
  using Element = uint16_t;
  static VF load(const Element* p) { return load_bf16(p); }
};

/// The first n < kFloats elements, zeros behind them. Reads nothing beyond.
template <class Row>
inline VF load_first(const typename Row::Element* p, int n) {
  typename Row::Element elements[kFloats] = {};
  for (int i = 0; i < n; ++i) elements[i] = p[i];
  return Row::load(elements);
}

}  // namespace
}  // namespace minke::cpu::MINKE_ISA_NS
