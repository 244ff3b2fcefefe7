// Blocks with sub-blocks: each sub-block's own best scale first, then the super-block's scale that
// says all of them well, then by turns the small integers between the two, and the codes.
#include <algorithm>
#include <cmath>

#include "quant/fit.h"

namespace minke {
namespace {

constexpr int kMaxTurns = 4;
// With scales and mins the first choice of (d, dmin) is not often the best: these are tried beside
// it, and followed while the error is at most kPatience times the best.
constexpr float kNudges[] = {0.92f, 1.03f, 1.08f, 0.97f};
constexpr float kPatience = 1.03f;
constexpr size_t kLen = 256;
constexpr size_t kMaxSubs = 16;

int nearest_int(float v, int lo, int hi) noexcept {
  return static_cast<int>(
      std::nearbyint(std::clamp(v, static_cast<float>(lo), static_cast<float>(hi))));
}

Run sub_block_of(const Prepared& block, size_t n_subs, size_t j) noexcept {
  return block.run(j * (kLen / n_subs), kLen / n_subs);
}

struct ScaledChoice {
  float error = INFINITY;
  float d = 0.0f;
  int scales[kMaxSubs] = {};
};

class SuperScaleSearch {
 public:
  SuperScaleSearch(const Prepared& block, size_t n_subs, const Levels& levels,
                   const Levels& scale_levels) noexcept
      : block_(block), n_subs_(n_subs), levels_(levels), scale_levels_(scale_levels) {
    for (size_t j = 0; j < n_subs; ++j) {
      const BestScale sub = search_scale(sub_block(j), levels, nullptr);
      wanted_[j] = sub.scale;
      largest_wanted_ = std::max(largest_wanted_, std::fabs(sub.scale));
      weight_[j] = std::max(sub.fit.qq, 1e-12f);
    }
  }

  Run sub_block(size_t j) const noexcept { return sub_block_of(block_, n_subs_, j); }

  ScaledChoice search() const noexcept {
    ScaledChoice best;
    // Away from its best, a sub-block's error grows by weight * (scale - wanted)^2: the choice of d
    // is a block of n_subs values of its own.
    const Run wanted{wanted_, weight_, n_subs_};
    const float d = search_scale(wanted, scale_levels_, &block_.grid()).scale;
    // Where every wanted scale is nearer to zero than to f16's smallest, that may still be better.
    improve(d != 0.0f ? d : largest_wanted_, best);
    return best;
  }

 private:
  void improve(float d, ScaledChoice& best) const noexcept {
    d = block_.grid().nearest_scale(d);
    for (int turn = 0; turn < kMaxTurns; ++turn) {
      ScaledChoice now{0.0f, d, {}};
      float rq = 0.0f;
      float qq = 0.0f;
      for (size_t j = 0; j < n_subs_; ++j) {
        ScaleFit fit{};
        const int scale = choose_scale(j, d, fit);
        const auto s = static_cast<float>(scale);
        now.scales[j] = scale;
        now.error += fit.error;
        rq += s * fit.rq;
        qq += s * s * fit.qq;
      }
      if (!(now.error < best.error)) return;
      best = now;
      if (!(qq > 0.0f)) return;
      const float next = block_.grid().nearest_scale(d + rq / qq);
      if (next == d) return;
      d = next;
    }
  }

  // The integer for sub-block j at this d; `fit` receives how it fits.
  int choose_scale(size_t j, float d, ScaleFit& fit) const noexcept {
    const int middle =
        d != 0.0f ? nearest_int(wanted_[j] / d, scale_levels_.lo, scale_levels_.hi) : 0;
    const int from = std::max(middle - 1, scale_levels_.lo);
    const int to = std::min(middle + 1, scale_levels_.hi);
    int best = from;
    fit.error = INFINITY;
    for (int scale = from; scale <= to; ++scale) {
      const ScaleFit f = fit_scale(sub_block(j), d * static_cast<float>(scale), levels_);
      if (f.error < fit.error) {
        fit = f;
        best = scale;
      }
    }
    return best;
  }

  const Prepared& block_;
  size_t n_subs_;
  const Levels& levels_;
  const Levels& scale_levels_;
  alignas(16) float wanted_[kMaxSubs];
  float largest_wanted_ = 0.0f;
  alignas(16) float weight_[kMaxSubs];
};

struct AffineChoice {
  float error = INFINITY;
  float d = 0.0f;
  float dmin = 0.0f;
  uint8_t scales[kMaxSubs] = {};
  uint8_t mins[kMaxSubs] = {};
};

class SuperAffineSearch {
 public:
  SuperAffineSearch(const Prepared& block, size_t n_subs, int max_code, int max_scale) noexcept
      : block_(block), n_subs_(n_subs), max_code_(max_code), max_scale_(max_scale) {
    for (size_t j = 0; j < n_subs; ++j) {
      const BestAffine sub = search_affine(sub_block(j), max_code, nullptr);
      scale_[j] = sub.scale;
      min_[j] = -sub.offset;
      scale_weight_[j] = std::max(sub.fit.qq, 1e-12f);
      min_weight_[j] = std::max(sub.fit.w, 1e-12f);
    }
  }

  Run sub_block(size_t j) const noexcept { return sub_block_of(block_, n_subs_, j); }

  AffineChoice search() const noexcept {
    AffineChoice best;
    const Levels integers{0, max_scale_};
    const float d = search_scale({scale_, scale_weight_, n_subs_}, integers, &block_.grid()).scale;
    const float dmin = search_scale({min_, min_weight_, n_subs_}, integers, &block_.grid()).scale;
    const float largest = *std::max_element(scale_, scale_ + n_subs_);
    improve(d != 0.0f ? d : largest, dmin, best);
    for (const float nudge : kNudges) {
      improve(best.d * nudge, best.dmin, best);
      improve(best.d, best.dmin * nudge, best);
    }
    return best;
  }

 private:
  // Sums over all sub-blocks of the least squares for (d, dmin).
  struct Sums {
    float dd = 0.0f, dm = 0.0f, mm = 0.0f, rd = 0.0f, rm = 0.0f;
    void add(float s, float m, const AffineFit& fit) noexcept {
      dd += s * s * fit.qq;
      dm -= s * m * fit.q;
      mm += m * m * fit.w;
      rd += s * fit.rq;
      rm -= m * fit.r;
    }
  };

  void improve(float d, float dmin, AffineChoice& best) const noexcept {
    d = block_.grid().nearest_scale(d);
    dmin = block_.grid().nearest_scale(dmin);
    for (int turn = 0; turn < kMaxTurns; ++turn) {
      AffineChoice now{0.0f, d, dmin, {}, {}};
      Sums sums;
      for (size_t j = 0; j < n_subs_; ++j) {
        AffineFit fit{};
        choose(j, d, dmin, now, fit);
        now.error += fit.error;
        sums.add(now.scales[j], now.mins[j], fit);
      }
      if (!(now.error < best.error * kPatience)) return;
      if (now.error < best.error) best = now;
      const float det = sums.dd * sums.mm - sums.dm * sums.dm;
      float step_d = sums.dd > 0.0f ? sums.rd / sums.dd : 0.0f;
      float step_m = 0.0f;
      if (det > 1e-6f * sums.dd * sums.mm) {
        step_d = (sums.mm * sums.rd - sums.dm * sums.rm) / det;
        step_m = (sums.dd * sums.rm - sums.dm * sums.rd) / det;
      }
      const float next_d = block_.grid().nearest_scale(std::max(d + step_d, 0.0f));
      const float next_m = block_.grid().nearest_scale(std::max(dmin + step_m, 0.0f));
      if (next_d == d && next_m == dmin) return;
      d = next_d;
      dmin = next_m;
    }
  }

  // The two integers for sub-block j at this (d, dmin); `fit` receives how they fit.
  void choose(size_t j, float d, float dmin, AffineChoice& now, AffineFit& fit) const noexcept {
    const Run run = sub_block(j);
    const int middle = d > 0.0f ? nearest_int(scale_[j] / d, 0, max_scale_) : 0;
    fit.error = INFINITY;
    for (int s = std::max(middle - 1, 0); s <= std::min(middle + 1, max_scale_); ++s) {
      const float scale = d * static_cast<float>(s);
      int min = dmin > 0.0f ? nearest_int(min_[j] / dmin, 0, max_scale_) : 0;
      for (int turn = 0; turn < kMaxTurns; ++turn) {
        const AffineFit f = fit_affine(run, scale, -dmin * static_cast<float>(min), max_code_);
        if (f.error < fit.error) {
          fit = f;
          now.scales[j] = static_cast<uint8_t>(s);
          now.mins[j] = static_cast<uint8_t>(min);
        }
        if (!(dmin > 0.0f)) break;
        const float wish = static_cast<float>(min) - f.r / f.w / dmin;
        const int next = nearest_int(wish, 0, max_scale_);
        if (next == min) break;
        min = next;
      }
    }
  }

  const Prepared& block_;
  size_t n_subs_;
  int max_code_;
  int max_scale_;
  alignas(16) float scale_[kMaxSubs];
  alignas(16) float min_[kMaxSubs];
  alignas(16) float scale_weight_[kMaxSubs];
  alignas(16) float min_weight_[kMaxSubs];
};

}  // namespace

void encode_super_scaled(const float* x, const float* importance, size_t n_subs,
                         const Levels& levels, const Levels& scale_levels,
                         SuperScaledCodes& out) noexcept {
  const Prepared block(x, importance, kLen);
  const SuperScaleSearch search(block, n_subs, levels, scale_levels);
  const ScaledChoice best = search.search();
  out.d = block.grid().bits(best.d);
  for (size_t j = 0; j < n_subs; ++j) {
    out.scales[j] = best.scales[j];
    assign_codes(search.sub_block(j), best.d * static_cast<float>(best.scales[j]), levels,
                 out.codes + j * (kLen / n_subs));
  }
}

void encode_super_affine(const float* x, const float* importance, size_t n_subs, int max_code,
                         int max_scale, SuperAffineCodes& out) noexcept {
  const Prepared block(x, importance, kLen);
  const SuperAffineSearch search(block, n_subs, max_code, max_scale);
  const AffineChoice best = search.search();
  out.d = block.grid().bits(best.d);
  out.dmin = block.grid().bits(best.dmin);
  for (size_t j = 0; j < n_subs; ++j) {
    out.scales[j] = best.scales[j];
    out.mins[j] = best.mins[j];
    assign_affine_codes(search.sub_block(j), best.d * static_cast<float>(best.scales[j]),
                        -best.dmin * static_cast<float>(best.mins[j]), max_code,
                        out.codes + j * (kLen / n_subs));
  }
}

}  // namespace minke
