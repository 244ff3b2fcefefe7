// Dot products of a few rows with a few rows, in f32: the float matrix products' inner loop.
#pragma once

#include "backends/cpu/simd/rows_f32.h"
#include "backends/cpu/simd/unroll.h"

namespace minke::cpu::MINKE_ISA_NS {
namespace {

#if defined(__AVX512F__) || defined(__aarch64__)
inline constexpr int kDotRows = 4;  // kDotRows * kDotColumns vectors of sums fill the registers.
inline constexpr int kDotColumns = 4;
#else
inline constexpr int kDotRows = 4;
inline constexpr int kDotColumns = 2;
#endif

/// dots[c][r] = w row r . x row c over k values. A pair's products are
/// added in the same order whatever kR and kC are.
template <class Row, int kR, int kC>
[[gnu::always_inline]] inline void dot_rows(const typename Row::Element* const (&w)[kR],
                                            const float* const (&x)[kC], int k,
                                            float (&dots)[kC][kR]) {
  VF sums[kR][kC];
  MINKE_UNROLL
  for (int r = 0; r < kR; ++r) {
    MINKE_UNROLL
    for (int c = 0; c < kC; ++c) sums[r][c] = splat(0.0f);
  }
  int i = 0;
  for (; i + kFloats <= k; i += kFloats) {
    VF xs[kC];
    MINKE_UNROLL
    for (int c = 0; c < kC; ++c) xs[c] = load(x[c] + i);
    MINKE_UNROLL
    for (int r = 0; r < kR; ++r) {
      const VF ws = Row::load(w[r] + i);
      MINKE_UNROLL
      for (int c = 0; c < kC; ++c) sums[r][c] = madd(ws, xs[c], sums[r][c]);
    }
  }
  if (i < k) {
    MINKE_UNROLL
    for (int r = 0; r < kR; ++r) {
      const VF ws = load_first<Row>(w[r] + i, k - i);
      MINKE_UNROLL
      for (int c = 0; c < kC; ++c)
        sums[r][c] = madd(ws, load_first<RowF32>(x[c] + i, k - i), sums[r][c]);
    }
  }
  static_assert(kR == 4 || kR == 1);
  MINKE_UNROLL
  for (int c = 0; c < kC; ++c) {
    if constexpr (kR == 4) {
      sums_of_4(sums[0][c], sums[1][c], sums[2][c], sums[3][c], dots[c]);
    } else {
      dots[c][0] = sum(sums[0][c]);
    }
  }
}

}  // namespace
}  // namespace minke::cpu::MINKE_ISA_NS
