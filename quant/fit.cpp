#include "quant/fit.h"

#include <algorithm>
#include <cmath>

#include "quant/half.h"

namespace minke {

HalfGrid::HalfGrid(int exponent) noexcept
    : to_half_(std::ldexp(1.0, exponent)), from_half_(std::ldexp(1.0, -exponent)) {}

uint16_t HalfGrid::bits(float v) const noexcept {
  const double half = std::clamp(v * to_half_, -double{kF16Max}, double{kF16Max});
  return f32_to_f16(static_cast<float>(half));
}

float HalfGrid::nearest_scale(float v) const noexcept {
  const float near = nearest(v);
  return near == 0.0f && v != 0.0f ? std::copysign(value(1), v) : near;
}

float HalfGrid::value(uint16_t half) const noexcept {
  return static_cast<float>(f16_to_f32(half) * from_half_);
}

namespace {

float largest(const float* v, size_t n) noexcept {
  float best = 0.0f;
  for (size_t i = 0; i < n; ++i) best = std::fabs(v[i]) > best ? std::fabs(v[i]) : best;
  return best;
}

// Such that 2^-exponent is a normal f32 and brings `magnitude` to 1..4 (or below, if it is tiny).
int exponent_of(float magnitude) noexcept {
  return magnitude > 0.0f ? std::clamp(std::ilogb(magnitude), -100, 126) : 0;
}

}  // namespace

Prepared::Prepared(const float* x, const float* importance, size_t n) noexcept
    : Prepared(x, importance, n, exponent_of(largest(x, n))) {}

Prepared::Prepared(const float* x, const float* importance, size_t n, int exponent) noexcept
    : grid_(exponent) {
  const float factor = std::ldexp(1.0f, -exponent);
  for (size_t i = 0; i < n; ++i) x_[i] = x[i] * factor;
  const float heaviest = importance != nullptr ? largest(importance, n) : 0.0f;
  for (size_t i = 0; i < n; ++i) {
    // The floor keeps the sums of a run whose weights are all zero from being zero.
    w_[i] = heaviest > 0.0f ? std::max(importance[i] / heaviest, 1e-12f) : 1.0f;
  }
}

}  // namespace minke
