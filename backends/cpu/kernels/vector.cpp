#include "backends/cpu/kernels/vector.h"

#include "backends/cpu/kernels/dot_block.h"
#include "backends/cpu/simd/exp_f32.h"

namespace minke::cpu::MINKE_ISA_NS {
namespace {

/// y[i] = f(a[i], b[i], y[i]) by vectors; what is read of the last, partial one are zeros.
template <class F>
inline void map(const float* a, const float* b, float* y, int n, F f) {
  int i = 0;
  for (; i + kFloats <= n; i += kFloats) store(y + i, f(load(a + i), load(b + i), load(y + i)));
  if (i == n) return;
  const int rest = n - i;
  store_some(y + i, f(load_some(a + i, rest), load_some(b + i, rest), load_some(y + i, rest)),
             rest);
}

/// e^x, relative error below 2.5e-7; 0 below -87.3, infinity above 88.7.
inline VF exp(VF x) {
  const auto [exponent, r] = split_exponent(xsimd::min(xsimd::max(x, splat(-88.0f)), splat(89.0f)));
  VF p = splat(1.0f / 720);
  p = madd(p, r, splat(1.0f / 120));
  p = madd(p, r, splat(1.0f / 24));
  p = madd(p, r, splat(1.0f / 6));
  p = madd(p, r, splat(0.5f));
  p = madd(p, r, splat(1.0f));
  p = madd(p, r, splat(1.0f));
  // 2^n in two factors, so that neither leaves the exponent's range.
  const Ints half = exponent >> 1;
  const VF scale1 = __builtin_bit_cast(VF, (half + Ints(127)) << 23);
  const VF scale2 = __builtin_bit_cast(VF, (exponent - half + Ints(127)) << 23);
  const VF value = p * scale1 * scale2;
  return xsimd::select(x < splat(-87.3f), splat(0.0f), value);
}

}  // namespace

float dot_f32(const float* a, const float* b, int n) noexcept {
  float dots[1][1];
  dot_rows<RowF32, 1, 1>({a}, {b}, n, dots);
  return dots[0][0];
}

void axpy_f32(float a, const float* x, float* y, int n) noexcept {
  map(x, x, y, n, [as = splat(a)](VF xs, VF, VF ys) { return madd(as, xs, ys); });
}

void scale_f32(float a, const float* x, float* y, int n) noexcept {
  map(x, x, y, n, [as = splat(a)](VF xs, VF, VF) { return as * xs; });
}

void add_f32(const float* a, const float* b, float* y, int n) noexcept {
  map(a, b, y, n, [](VF as, VF bs, VF) { return as + bs; });
}

float max_f32(const float* x, int n) noexcept {
  float largest = x[0];
  int i = 0;
  if (n >= kFloats) {
    VF maxima = load(x);
    for (i = kFloats; i + kFloats <= n; i += kFloats) maxima = xsimd::max(maxima, load(x + i));
    largest = greatest(maxima);
  }
  for (; i < n; ++i) largest = x[i] > largest ? x[i] : largest;
  return largest;
}

float exp_sum_f32(float* x, int n, float shift) noexcept {
  VF total(0.0f);
  int i = 0;
  for (; i + kFloats <= n; i += kFloats) {
    const VF e = exp(load(x + i) - splat(shift));
    store(x + i, e);
    total = total + e;
  }
  float result = sum(total);
  if (i < n) {
    store_some(x + i, exp(load_some(x + i, n - i) - splat(shift)), n - i);
    for (; i < n; ++i) result += x[i];
  }
  return result;
}

void silu_mul_f32(const float* gate, const float* up, float* y, int n) noexcept {
  map(gate, up, y, n, [](VF g, VF u, VF) { return g / (splat(1.0f) + exp(splat(0.0f) - g)) * u; });
}

void rms_norm_f32(const float* x, const float* weight, float eps, float* y, int n) noexcept {
  const float mean = dot_f32(x, x, n) / static_cast<float>(n);
  const VF factor = splat(1.0f) / xsimd::sqrt(splat(mean + eps));
  map(x, weight, y, n, [factor](VF xs, VF ws, VF) { return xs * factor * ws; });
}

void f16_to_f32_row(const uint16_t* x, float* y, int n) noexcept {
  int i = 0;
  for (; i + kFloats <= n; i += kFloats) store(y + i, load_f16(x + i));
  for (; i < n; ++i) y[i] = half_to_float(x[i]);
}

void f32_to_f16_row(const float* x, uint16_t* y, int n) noexcept {
  for (int i = 0; i < n; ++i) y[i] = f32_to_f16(x[i]);
}

void bf16_to_f32_row(const uint16_t* x, float* y, int n) noexcept {
  for (int i = 0; i < n; ++i) y[i] = bf16_to_f32(x[i]);
}

void f32_to_bf16_row(const float* x, uint16_t* y, int n) noexcept {
  for (int i = 0; i < n; ++i) y[i] = f32_to_bf16(x[i]);
}

}  // namespace minke::cpu::MINKE_ISA_NS
