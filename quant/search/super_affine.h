// Super-blocks of affine sub-blocks: as in super_scaled.h, each sub-block's own best first, then d
// and dmin that say all of them well, then by turns their integers and the codes.
#pragma once

#include "quant/search/affine_search.h"
#include "quant/search/super_scaled.h"

namespace minke::encoders::MINKE_ISA_NS {
namespace {

// Pairs of (d, dmin) that are improved, of all that are ranked.
constexpr int kTops = 2;

class SuperAffineSearch {
 public:
  struct Choice {
    F error;
    F d;
    F dmin;
    F scales[kMaxSubs];  // Integers.
    F mins[kMaxSubs];    // Integers.
  };

  SuperAffineSearch(const Prepared<kSuperLen>& block, const SuperAffineRule& rule) noexcept
      : block_(block),
        rule_(rule),
        nearest_(0, rule.max_code),
        nearest_integer_(rule.scales.levels) {
    for (size_t j = 0; j < rule.n_subs; ++j) {
      const Run run = sub_block(j);
      AffineSearch search(run, rule.max_code, AffineSearch::Offsets::kAtMostZero);
      const BestAffine sub = search.search();
      scale_[j] = sub.scale;
      min_[j] = -sub.offset;
      weight_[j] = search.sum_of_weights();
      tilt_[j] = sub.q / weight_[j];
      stiffness_[j] = max(sub.qq - sub.q * tilt_[j], F{});
      largest_scale_ = max(sub.scale, largest_scale_);
      largest_min_ = max(min_[j], largest_min_);
    }
    best_.error = splat(3e38f);
  }

  const Choice& search() noexcept {
    for (Start& top : tops_) top = {splat(3e38f), F{}, F{}};
    for (int k = 0; k <= rule_.scales.n_starts; ++k) try_scale(candidate(largest_scale_, k));
    for (const Start& top : tops_) improve(top.d, top.dmin);
    return best_;
  }

 private:
  struct Pair {
    F scale, min;  // Integers.
    AffineFit fit;
  };
  // Sums over all sub-blocks of the least squares for (d, dmin).
  struct Sums {
    F dd, dm, mm, rd, rm;
    void add(const Pair& chosen, F weight) noexcept {
      const F s = chosen.scale;
      const F m = chosen.min;
      dd += s * s * chosen.fit.qq;
      dm -= s * m * chosen.fit.q;
      mm += m * m * weight;
      rd += s * chosen.fit.rq;
      rm -= m * chosen.fit.r;
    }
  };

  // A pair of (d, dmin), and about how much error it adds.
  struct Start {
    F cost, d, dmin;
  };

  static Start either(I mask, const Start& a, const Start& b) noexcept {
    return {select(mask, a.cost, b.cost), select(mask, a.d, b.d), select(mask, a.dmin, b.dmin)};
  }

  // The k-th d (or dmin) to try: the largest scale (or min) goes to the k-th start. The last one is
  // a power of two, which leaves a scale that all sub-blocks have in common as it is.
  F candidate(F largest, int k) const noexcept {
    const float power = static_cast<float>(rule_.scales.levels.hi + 1) / 2.0f;
    const float to = k < rule_.scales.n_starts ? rule_.scales.starts[k] : power;
    return block_.grid().nearest_scale(largest * (1.0f / to));
  }

  // Near its best, a sub-block's error grows by
  //   stiffness * ds^2 + weight * (dm - tilt * ds)^2
  // with the changes ds of its scale and dm of its min: cheap to say for many (d, dmin).
  void try_scale(F d) noexcept {
    const F inv_d = inverse(d);
    F cost_d{};
    F wish[kMaxSubs];  // The mins that are best for these scales.
    for (size_t j = 0; j < rule_.n_subs; ++j) {
      const F change = nearest_integer_(scale_[j] * inv_d) * d - scale_[j];
      cost_d += stiffness_[j] * change * change;
      wish[j] = min_[j] + tilt_[j] * change;
    }
    const auto try_min = [&](F dmin) {
      const F inv = inverse(dmin);
      F cost = cost_d;
      for (size_t j = 0; j < rule_.n_subs; ++j) {
        const F off = nearest_integer_(wish[j] * inv) * dmin - wish[j];
        cost += weight_[j] * off * off;
      }
      Start next{cost, d, dmin};
      for (Start& top : tops_) {
        const Start old = top;
        const I better = next.cost < old.cost;
        top = either(better, next, old);
        next = either(better, old, next);
      }
    };
    for (int k = 0; k <= rule_.scales.n_starts; ++k) try_min(candidate(largest_min_, k));
  }

  Run sub_block(size_t j) const noexcept {
    const size_t len = kSuperLen / rule_.n_subs;
    return block_.run(j * len, len);
  }

  void improve(F d, F dmin) noexcept {
    for (int turn = 0; turn < kTurns; ++turn) {
      Choice now{F{}, d, dmin, {}, {}};
      Sums sums{};
      for (size_t j = 0; j < rule_.n_subs; ++j) {
        const Pair chosen = choose(j, d, dmin);
        now.scales[j] = chosen.scale;
        now.mins[j] = chosen.min;
        now.error += chosen.fit.error;
        sums.add(chosen, weight_[j]);
      }
      take_if(now.error < best_.error, now);
      const F det = sums.dd * sums.mm - sums.dm * sums.dm;
      const I solvable = det > 1e-6f * sums.dd * sums.mm;
      const F step_d = select(solvable, ratio(sums.mm * sums.rd - sums.dm * sums.rm, det),
                              ratio(sums.rd, sums.dd));
      const F step_m = select(solvable, ratio(sums.dd * sums.rm - sums.dm * sums.rd, det), F{});
      const F next_d = block_.grid().nearest_scale(max(d + step_d, F{}));
      const F next_m = block_.grid().nearest_scale(max(dmin + step_m, F{}));
      // Where nothing changes, nothing will.
      if (!any((next_d != d) | (next_m != dmin))) return;
      d = next_d;
      dmin = next_m;
    }
  }

  void take_if(I better, const Choice& now) noexcept {
    best_.error = select(better, now.error, best_.error);
    best_.d = select(better, now.d, best_.d);
    best_.dmin = select(better, now.dmin, best_.dmin);
    for (size_t j = 0; j < rule_.n_subs; ++j) {
      best_.scales[j] = select(better, now.scales[j], best_.scales[j]);
      best_.mins[j] = select(better, now.mins[j], best_.mins[j]);
    }
  }

  // The two integers for sub-block j at this (d, dmin), and how they fit.
  Pair choose(size_t j, F d, F dmin) const noexcept {
    const Run run = sub_block(j);
    const F inv_dmin = inverse(dmin);
    const F middle = nearest_integer_(scale_[j] * inverse(d));
    Pair best{};
    best.fit.error = splat(3e38f);
    for (const float by : {-1.0f, 0.0f, 1.0f}) {
      const F scale = max(min(middle + by, nearest_integer_.hi), nearest_integer_.lo);
      const F m = nearest_integer_((min_[j] + tilt_[j] * (d * scale - scale_[j])) * inv_dmin);
      const AffineFit fit = fit_affine(run, d * scale, -dmin * m, nearest_);
      const I better = fit.error < best.fit.error;
      best.scale = select(better, scale, best.scale);
      best.min = select(better, m, best.min);
      best.fit.take_if(better, fit);
    }
    return best;
  }

  const Prepared<kSuperLen>& block_;
  const SuperAffineRule& rule_;
  NearestInteger nearest_;
  NearestInteger nearest_integer_;  // Of the scales and mins.
  F scale_[kMaxSubs];
  F min_[kMaxSubs];
  F weight_[kMaxSubs];
  F tilt_[kMaxSubs];
  F stiffness_[kMaxSubs];
  F largest_scale_{};
  F largest_min_{};
  Start tops_[kTops];
  Choice best_{};
};

}  // namespace
}  // namespace minke::encoders::MINKE_ISA_NS
