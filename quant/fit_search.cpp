// Least squares alone finds only the nearest of many minima: the codes jump as the scale moves. So
// many scales start, each is improved by turns (codes to scale, scale to codes), and one stays.
#include <algorithm>
#include <cmath>

#include "quant/fit.h"

namespace minke {
namespace {

constexpr int kMaxTurns = 4;

// Where the starts of search_scale lie: the extreme value goes to a level from kBeyond outside the
// end of the levels to a quarter of them (within these bounds) inside it, in steps of kStep (or
// kStepShare of all). Half the steps lower the error of normal values by less than 0.1 % up to five
// bits, by 2 % at eight.
constexpr float kBeyond = 0.8f;
constexpr float kInnerLeast = 2.5f;
constexpr float kInnerMost = 12.0f;
constexpr float kStep = 0.25f;
constexpr float kStepShare = 0.012f;
// Those of search_affine: how far each end of the codes lies inside the values' end, in codes.
constexpr float kInside[] = {-0.4f, -0.1f, 0.2f, 0.5f, 0.8f};

class ScaleSearch {
 public:
  ScaleSearch(const Run& run, const Levels& levels, const HalfGrid* grid) noexcept
      : run_(run), levels_(levels), grid_(grid), best_{0.0f, fit_scale(run, 0.0f, levels)} {}

  void start_from(float scale) noexcept {
    scale = on_grid(scale);
    for (int turn = 0; turn < kMaxTurns; ++turn) {
      const ScaleFit fit = fit_scale(run_, scale, levels_);
      if (fit.error < best_.fit.error) best_ = {scale, fit};
      if (!(fit.qq > 0.0f)) return;
      const float step = fit.rq / fit.qq;
      // With these codes no scale leaves less than this.
      if (fit.error - step * fit.rq >= best_.fit.error) return;
      const float next = on_grid(scale + step);
      if (next == scale) return;
      scale = next;
    }
  }

  const BestScale& best() const noexcept { return best_; }

 private:
  float on_grid(float scale) const noexcept {
    return grid_ != nullptr ? grid_->nearest_scale(scale) : scale;
  }

  const Run& run_;
  const Levels& levels_;
  const HalfGrid* grid_;
  BestScale best_;
};

// The value of largest magnitude; tells in `level` whether all magnitudes are the same.
float extreme(const Run& run, bool& level) noexcept {
  float best = 0.0f;
  float smallest = INFINITY;
  for (size_t i = 0; i < run.n; ++i) {
    if (std::fabs(run.x[i]) > std::fabs(best)) best = run.x[i];
    smallest = std::min(smallest, std::fabs(run.x[i]));
  }
  level = smallest == std::fabs(best);
  return best;
}

}  // namespace

BestScale search_scale(const Run& run, const Levels& levels, const HalfGrid* grid) noexcept {
  ScaleSearch search(run, levels, grid);
  bool level = false;
  const float x = extreme(run, level);
  if (x == 0.0f) return search.best();
  // Values of one magnitude: the level they go to decides how well f16 (or a super-block) can say
  // the scale. Level 1 leaves them the number itself.
  for (int to = 1; level && to <= (grid != nullptr ? levels.hi : 1); ++to) {
    search.start_from(x / static_cast<float>(to));
  }
  const float unit = levels.table != nullptr ? 16.0f : 1.0f;
  for (const int end : {levels.lo, levels.hi}) {
    const auto size = static_cast<float>(std::abs(end));
    const float inside = unit * std::clamp(0.25f * size / unit, kInnerLeast, kInnerMost);
    float inner = std::max(size - inside, 0.5f * unit);
    // Integers: scale and -scale give the same codes but for their signs, while none is clipped.
    if (end == levels.hi && levels.table == nullptr) {
      if (levels.lo == -levels.hi) break;
      if (levels.lo < 0) inner = size - 0.5f;
    }
    const float step = std::max(kStep * unit, kStepShare * size);
    const int n_beyond = static_cast<int>(kBeyond * unit / step);
    const int n_inside = static_cast<int>((size - inner) / step);
    for (int i = -n_beyond; i <= n_inside && end != 0; ++i) {
      const float to = size - static_cast<float>(i) * step;
      search.start_from(x / std::copysign(to, static_cast<float>(end)));
    }
  }
  return search.best();
}

namespace {

class AffineSearch {
 public:
  AffineSearch(const Run& run, int max_code, const HalfGrid* grid) noexcept
      : run_(run),
        max_code_(max_code),
        grid_(grid),
        best_{0.0f, 0.0f, fit_affine(run, 0.0f, 0.0f, max_code)} {}

  void start_from(float scale, float offset) noexcept {
    scale = on_grid(scale);
    offset = allowed_offset(offset);
    for (int turn = 0; turn < kMaxTurns; ++turn) {
      const AffineFit fit = fit_affine(run_, scale, offset, max_code_);
      if (fit.error < best_.fit.error) best_ = {scale, offset, fit};
      // Least squares for these codes, as changes of scale and offset. The offset goes where it is
      // allowed to first, the scale follows.
      const float det = fit.w * fit.qq - fit.q * fit.q;
      const float wish =
          det > 1e-6f * fit.w * fit.qq ? (fit.qq * fit.r - fit.q * fit.rq) / det : fit.r / fit.w;
      const float next_offset = allowed_offset(offset + wish);
      const float d_offset = next_offset - offset;
      const float d_scale = fit.qq > 0.0f ? (fit.rq - d_offset * fit.q) / fit.qq : 0.0f;
      const float gain = 2.0f * (d_scale * fit.rq + d_offset * fit.r) - d_scale * d_scale * fit.qq -
                         2.0f * d_scale * d_offset * fit.q - d_offset * d_offset * fit.w;
      if (fit.error - gain >= best_.fit.error) return;
      const float next_scale = on_grid(scale + d_scale);
      if (next_scale == scale && next_offset == offset) return;
      scale = next_scale;
      offset = next_offset;
    }
  }

  const BestAffine& best() const noexcept { return best_; }

 private:
  float on_grid(float scale) const noexcept {
    return grid_ != nullptr ? grid_->nearest_scale(scale) : scale;
  }
  float allowed_offset(float v) const noexcept {
    return grid_ != nullptr ? grid_->nearest(v) : std::min(v, 0.0f);
  }

  const Run& run_;
  int max_code_;
  const HalfGrid* grid_;
  BestAffine best_;
};

// Where f16's steps at the offset are wide against the scale (values far from zero, close to each
// other), the neighbours of the best offset are worth a try.
void settle_offset(AffineSearch& search, const HalfGrid& grid) noexcept {
  const float scale = search.best().scale;
  const uint16_t bits = grid.bits(search.best().offset);
  for (const int by : {-1, 1}) {
    const float offset = grid.value(static_cast<uint16_t>(bits + by));
    if (std::fabs(offset - search.best().offset) > 0.1f * std::fabs(scale)) {
      search.start_from(scale, offset);
    }
  }
}

}  // namespace

BestAffine search_affine(const Run& run, int max_code, const HalfGrid* grid) noexcept {
  AffineSearch search(run, max_code, grid);
  const auto [lowest, highest] = std::minmax_element(run.x, run.x + run.n);
  const float low = grid != nullptr ? *lowest : std::min(*lowest, 0.0f);
  const float high = *highest;
  const float unit = (high - low) / static_cast<float>(max_code);
  if (*lowest == high) {
    // All the same: a power of two as code leaves f16, or the super-block, a number it can say.
    if (high > 0.0f) search.start_from(high / static_cast<float>((max_code + 1) / 2), 0.0f);
    search.start_from(0.0f, high);
    return search.best();
  }
  if (!(unit > 0.0f)) return search.best();  // Too close to each other for f32.
  // Both ends of the codes lie a little outside or inside the ends of the values.
  for (const float in_low : kInside) {
    for (const float in_high : kInside) {
      const float offset = low + in_low * unit;
      search.start_from((high - in_high * unit - offset) / static_cast<float>(max_code), offset);
    }
  }
  // Zero is a code: what sparse values need.
  if (low < 0.0f && high > 0.0f) {
    const int zero = static_cast<int>(std::lround(-low / unit));
    const int reach = grid != nullptr ? 2 : 1;
    for (int code = std::max(zero - reach, 1); code <= std::min(zero + reach, max_code - 1);
         ++code) {
      const float scale =
          std::max(-low / static_cast<float>(code), high / static_cast<float>(max_code - code));
      search.start_from(scale, -scale * static_cast<float>(code));
    }
  }
  if (grid != nullptr) settle_offset(search, *grid);
  return search.best();
}

}  // namespace minke
