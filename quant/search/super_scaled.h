// Super-blocks of scaled sub-blocks: each sub-block's own best scale first, then the super-block's
// scale that says all of them well, then by turns the small integers between the two, and the
// codes.
#pragma once

#include "quant/search/scale_search.h"

namespace minke::encoders::MINKE_ISA_NS {
namespace {

constexpr size_t kSuperLen = 256;
constexpr size_t kMaxSubs = 16;
constexpr int kTurns = 2;

template <class Nearest>
class SuperScaleSearch {
 public:
  struct Choice {
    F error;
    F d;
    F scales[kMaxSubs];  // Integers.
  };

  SuperScaleSearch(const Prepared<kSuperLen>& block, const SuperScaledRule& rule) noexcept
      : block_(block),
        rule_(rule),
        nearest_(rule.values.levels),
        nearest_scale_(rule.scales.levels) {
    for (size_t j = 0; j < rule.n_subs; ++j) {
      const Run run = sub_block(j);
      const BestScale sub = ScaleSearch<Nearest>(run, rule.values).search();
      wanted_[j] = sub.scale;
      largest_wanted_ = max(abs(sub.scale), largest_wanted_);
      weight_[j] = sub.qq;
    }
    best_.error = splat(3e38f);
  }

  const Choice& search() noexcept {
    // Away from its best, a sub-block's error grows by weight * (scale - wanted)^2: the choice of d
    // is a block of n_subs values of its own.
    const Run wanted{wanted_, weight_, rule_.n_subs};
    const F d = ScaleSearch<NearestInteger>(wanted, rule_.scales).search(block_.grid());
    // Where every wanted scale is nearer to zero than to f16's smallest, that may still be better.
    improve(select(d != 0.0f, d, largest_wanted_));
    return best_;
  }

 private:
  Run sub_block(size_t j) const noexcept {
    const size_t len = kSuperLen / rule_.n_subs;
    return block_.run(j * len, len);
  }

  void improve(F d) noexcept {
    d = block_.grid().nearest_scale(d);
    for (int turn = 0; turn < kTurns; ++turn) {
      F scales[kMaxSubs];
      F error{};
      F rq{};
      F qq{};
      for (size_t j = 0; j < rule_.n_subs; ++j) {
        const ScaleFit fit = choose_scale(j, d, scales[j]);
        error += fit.error;
        rq += scales[j] * fit.rq;
        qq += scales[j] * scales[j] * fit.qq;
      }
      const I better = error < best_.error;
      best_.error = select(better, error, best_.error);
      best_.d = select(better, d, best_.d);
      for (size_t j = 0; j < rule_.n_subs; ++j) {
        best_.scales[j] = select(better, scales[j], best_.scales[j]);
      }
      const F next = select(better, block_.grid().nearest_scale(d + ratio(rq, qq)), d);
      // Where nothing changes, nothing will.
      if (!any(next != d)) return;
      d = next;
    }
  }

  // The integer for sub-block j at this d, and how it fits.
  ScaleFit choose_scale(size_t j, F d, F& chosen) const noexcept {
    const Run run = sub_block(j);
    const F middle = nearest_scale_(wanted_[j] * inverse(d));
    ScaleFit best{splat(3e38f), F{}, F{}};
    for (const float by : {-1.0f, 0.0f, 1.0f}) {
      const F scale = max(min(middle + by, nearest_scale_.hi), nearest_scale_.lo);
      const ScaleFit fit = fit_scale(run, d * scale, nearest_);
      const I better = fit.error < best.error;
      chosen = select(better, scale, chosen);
      best.take_if(better, fit);
    }
    return best;
  }

  const Prepared<kSuperLen>& block_;
  const SuperScaledRule& rule_;
  Nearest nearest_;
  NearestInteger nearest_scale_;
  F wanted_[kMaxSubs] = {};
  F weight_[kMaxSubs] = {};
  F largest_wanted_{};
  Choice best_{};
};

}  // namespace
}  // namespace minke::encoders::MINKE_ISA_NS
