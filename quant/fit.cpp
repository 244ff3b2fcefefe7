#include "quant/fit.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "quant/half.h"

namespace minke {
namespace {

using F4 = float __attribute__((vector_size(16)));

F4 load(const float* p) noexcept {
  F4 v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}

F4 splat(float v) noexcept { return F4{v, v, v, v}; }

float sum(F4 v) noexcept { return (v[0] + v[1]) + (v[2] + v[3]); }

// Of lo..hi; a NaN gives hi.
struct NearestInteger {
  F4 lo, hi;
  F4 operator()(F4 v) const noexcept {
    v = v < hi ? v : hi;
    v = v > lo ? v : lo;
    const F4 magic = splat(0x1.8p23f);  // Its last bit is worth 1: the addition rounds.
    return (v + magic) - magic;
  }
};

struct NearestOfTable {
  const LevelTable& table;
  F4 operator()(F4 v) const noexcept {
    F4 level = splat(table.lowest);
    for (size_t i = 0; i < 15; ++i) {
      level += v > splat(table.threshold[i]) ? splat(table.step[i]) : F4{};
    }
    return level;
  }
};

NearestInteger integers(int lo, int hi) noexcept {
  return {splat(static_cast<float>(lo)), splat(static_cast<float>(hi))};
}

// 0 for scales so small that the inverse is not a number to work with.
float inverse(float scale) noexcept { return std::fabs(scale) > 1e-30f ? 1.0f / scale : 0.0f; }

template <class Nearest>
ScaleFit fit_nearest(const Run& run, float scale, const Nearest& nearest) noexcept {
  const F4 s = splat(scale);
  const F4 inv = splat(inverse(scale));
  F4 error{}, rq{}, qq{};
  for (size_t i = 0; i < run.n; i += 4) {
    const F4 x = load(run.x + i);
    const F4 w = load(run.w + i);
    const F4 q = nearest(x * inv);
    const F4 r = x - s * q;
    const F4 wr = w * r;
    error += wr * r;
    rq += wr * q;
    qq += w * q * q;
  }
  return {sum(error), sum(rq), sum(qq)};
}

}  // namespace

ScaleFit fit_scale(const Run& run, float scale, const Levels& levels) noexcept {
  if (levels.table != nullptr) return fit_nearest(run, scale, NearestOfTable{*levels.table});
  return fit_nearest(run, scale, integers(levels.lo, levels.hi));
}

void assign_codes(const Run& run, float scale, const Levels& levels, uint8_t* codes) noexcept {
  const float inv = inverse(scale);
  if (levels.table == nullptr) {
    const NearestInteger nearest = integers(levels.lo, levels.hi);
    for (size_t i = 0; i < run.n; i += 4) {
      const F4 q = nearest(load(run.x + i) * splat(inv));
      for (size_t k = 0; k < 4; ++k) {
        codes[i + k] = static_cast<uint8_t>(static_cast<int>(q[k]) - levels.lo);
      }
    }
    return;
  }
  for (size_t i = 0; i < run.n; ++i) {
    const float v = run.x[i] * inv;
    codes[i] = static_cast<uint8_t>(
        std::ranges::count_if(levels.table->threshold, [v](float t) { return v > t; }));
  }
}

AffineFit fit_affine(const Run& run, float scale, float offset, int max_code) noexcept {
  const F4 s = splat(scale);
  const F4 o = splat(offset);
  const F4 inv = splat(inverse(scale));
  const NearestInteger nearest = integers(0, max_code);
  F4 error{}, rq{}, sum_r{}, qq{}, sum_q{}, sum_w{};
  for (size_t i = 0; i < run.n; i += 4) {
    const F4 y = load(run.x + i) - o;
    const F4 w = load(run.w + i);
    const F4 q = nearest(y * inv);
    const F4 r = y - s * q;
    const F4 wr = w * r;
    const F4 wq = w * q;
    error += wr * r;
    rq += wr * q;
    sum_r += wr;
    qq += wq * q;
    sum_q += wq;
    sum_w += w;
  }
  return {sum(error), sum(rq), sum(sum_r), sum(qq), sum(sum_q), sum(sum_w)};
}

void assign_affine_codes(const Run& run, float scale, float offset, int max_code,
                         uint8_t* codes) noexcept {
  const float inv = inverse(scale);
  const NearestInteger nearest = integers(0, max_code);
  for (size_t i = 0; i < run.n; i += 4) {
    const F4 q = nearest((load(run.x + i) - splat(offset)) * splat(inv));
    for (size_t k = 0; k < 4; ++k) codes[i + k] = static_cast<uint8_t>(static_cast<int>(q[k]));
  }
}

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
