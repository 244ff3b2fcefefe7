// The scale that fits a run best: x ~ scale * level.
#pragma once

#include "quant/search.h"
#include "quant/search/prepared.h"

namespace minke::encoders::MINKE_ISA_NS {
namespace {

// The nearest level to v, of lo..hi.
struct NearestInteger {
  explicit NearestInteger(const Levels& levels) noexcept : NearestInteger(levels.lo, levels.hi) {}
  NearestInteger(int from, int to) noexcept
      : lo(splat(static_cast<float>(from))), hi(splat(static_cast<float>(to))) {}
  F operator()(F v) const noexcept { return round(max(min(v, hi), lo)); }
  F code(F v) const noexcept { return (*this)(v)-lo; }
  // The same, faster, for numbers of at most a magnitude that needs no limits.
  F within(F v) const noexcept { return round(v); }
  bool is_within(float magnitude) const noexcept {
    return magnitude < hi[0] + 0.5f && magnitude < 0.5f - lo[0];
  }

  F lo, hi;
};

// The nearest level of a table.
struct NearestOfTable {
  explicit NearestOfTable(const Levels& levels) noexcept : table(*levels.table) {}
  F operator()(F v) const noexcept {
    F level = splat(table.lowest);
    for (size_t i = 0; i < 15; ++i)
      level += select(v > table.threshold[i], splat(table.step[i]), F{});
    return level;
  }
  F code(F v) const noexcept {
    F code{};
    for (const float threshold : table.threshold) code += select(v > threshold, splat(1.0f), F{});
    return code;
  }

  F within(F v) const noexcept { return (*this)(v); }
  bool is_within(float) const noexcept { return false; }

  const LevelTable& table;
};

// How x ~ scale * q fits with the nearest level q for every value; r = x - scale * q.
struct ScaleFit {
  F error;  // sum of w r r
  F rq;     // sum of w r q
  F qq;     // sum of w q q
  void take_if(I better, const ScaleFit& other) noexcept {
    error = select(better, other.error, error);
    rq = select(better, other.rq, rq);
    qq = select(better, other.qq, qq);
  }
};
template <class Nearest>
inline ScaleFit fit_scale(const Run& run, F scale, const Nearest& nearest) noexcept {
  const F inv = inverse(scale);
  ScaleFit fit{};
  for (size_t i = 0; i < run.n; ++i) {
    const F x = run.x[i];
    const F w = run.w[i];
    const F q = nearest(x * inv);
    const F r = x - scale * q;
    const F wr = w * r;
    fit.error += wr * r;
    fit.rq += wr * q;
    fit.qq += w * q * q;
  }
  return fit;
}

struct BestScale {
  F scale;
  F qq;  // sum of w q q: how the error grows beside it
};

// Least squares alone finds only the nearest of many minima: the codes jump as the scale moves. So
// many scales are tried, each with the scale that is best for its codes.
template <class Nearest>
class ScaleSearch {
 public:
  ScaleSearch(const Run& run, const ScaleRule& rule) noexcept
      : run_(run), rule_(rule), nearest_(rule.levels) {
    F lowest = run.x[0];
    F highest = run.x[0];
    F smallest = abs(run.x[0]);
    for (size_t i = 1; i < run.n; ++i) {
      const F x = run.x[i];
      lowest = min(x, lowest);
      highest = max(x, highest);
      smallest = min(abs(x), smallest);
    }
    extreme_ = select(-lowest > highest, lowest, highest);
    level_ = (smallest == abs(extreme_)) & (extreme_ != 0.0f);
  }

  // A scale of any value.
  BestScale search() const noexcept {
    const F inv_extreme = inverse(extreme_);
    Sums best{F{}, splat(1e-12f)};
    for (int k = 0; k < rule_.n_starts; ++k) {
      const float start = rule_.starts[k];
      const F inv = inv_extreme * start;
      const Sums sums = nearest_.is_within(start < 0.0f ? -start : start)
                            ? sums_of([&](F x) { return nearest_.within(x * inv); })
                            : sums_of([&](F x) { return nearest_(x * inv); });
      // The error is sum of w x x - xq^2 / qq.
      const I better = sums.xq * sums.xq * best.qq > best.xq * best.xq * sums.qq;
      best = {select(better, sums.xq, best.xq), select(better, sums.qq, best.qq)};
    }
    // Values of one magnitude are level 1: what stands above can say them to the bit.
    return {select(level_, extreme_, best.xq / best.qq), best.qq};
  }

  // A scale on the grid.
  F search(const HalfGrid& grid) const noexcept {
    Best best{};  // Zero, which leaves all there is.
    for (size_t i = 0; i < run_.n; ++i) best.error += run_.w[i] * run_.x[i] * run_.x[i];
    if (any(level_)) try_levels(grid, best);
    const F scale = grid.nearest_scale(search().scale);
    const ScaleFit fit = fit_scale(run_, scale, nearest_);
    best.take_if_better(scale, fit.error);
    // What is best for the codes of this scale.
    const F next = grid.nearest_scale(scale + ratio(fit.rq, fit.qq));
    best.take_if_better(next, fit_scale(run_, next, nearest_).error);
    return best.scale;
  }

 private:
  struct Sums {
    F xq;  // sum of w x q
    F qq;  // sum of w q q
  };
  template <class Quantize>
  Sums sums_of(const Quantize& quantize) const noexcept {
    Sums sums{};
    for (size_t i = 0; i < run_.n; ++i) {
      const F q = quantize(run_.x[i]);
      const F wq = run_.w[i] * q;
      sums.xq += run_.x[i] * wq;
      sums.qq += q * wq;
    }
    return sums;
  }

  struct Best {
    F scale, error;
    void take_if_better(F other_scale, F other_error) noexcept {
      const I better = other_error < error;
      scale = select(better, other_scale, scale);
      error = select(better, other_error, error);
    }
  };

  // Values of one magnitude: the level they go to decides how well f16 can say the scale.
  void try_levels(const HalfGrid& grid, Best& best) const noexcept {
    for (int to = 1; to <= rule_.levels.hi; ++to) {
      const F scale = grid.nearest_scale(extreme_ / static_cast<float>(to));
      best.take_if_better(scale,
                          select(level_, fit_scale(run_, scale, nearest_).error, best.error));
    }
  }

  const Run& run_;
  const ScaleRule& rule_;
  Nearest nearest_;
  F extreme_{};  // The value of largest magnitude.
  I level_;      // Whether all magnitudes are the same, and not zero.
};

}  // namespace
}  // namespace minke::encoders::MINKE_ISA_NS
