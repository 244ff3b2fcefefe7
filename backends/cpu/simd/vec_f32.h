// Float vectors of the instruction set that this translation unit is compiled for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <xsimd/xsimd.hpp>

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
inline float sum(VF v) {
  alignas(64) float values[kFloats];
  v.store_aligned(values);
  for (int half = kFloats / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) values[i] += values[i + half];
  return values[0];
}

}  // namespace
}  // namespace minke::cpu::MINKE_ISA_NS
