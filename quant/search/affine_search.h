// The scale and the offset that fit a run best: x ~ scale * code + offset.
#pragma once

#include "quant/search/scale_search.h"

namespace minke::encoders::MINKE_ISA_NS {
namespace {

// Where the starts lie: how far each end of the codes lies inside the values' end, in codes.
constexpr float kInside[] = {-0.4f, -0.1f, 0.2f, 0.5f, 0.8f};
constexpr size_t kMaxRun = 32;

// How x ~ scale * q + offset fits with the nearest q of 0..max_code; r = x - scale * q - offset.
struct AffineFit {
  F error;  // sum of w r r
  F rq;     // sum of w r q
  F r;      // sum of w r
  F qq;     // sum of w q q
  F q;      // sum of w q
  void take_if(I better, const AffineFit& other) noexcept {
    error = select(better, other.error, error);
    rq = select(better, other.rq, rq);
    r = select(better, other.r, r);
    qq = select(better, other.qq, qq);
    q = select(better, other.q, q);
  }
};
inline AffineFit fit_affine(const Run& run, F scale, F offset,
                            const NearestInteger& nearest) noexcept {
  const F inv = inverse(scale);
  AffineFit fit{};
  for (size_t i = 0; i < run.n; ++i) {
    const F y = run.x[i] - offset;
    const F w = run.w[i];
    const F q = nearest(y * inv);
    const F r = y - scale * q;
    const F wr = w * r;
    const F wq = w * q;
    fit.error += wr * r;
    fit.rq += wr * q;
    fit.r += wr;
    fit.qq += wq * q;
    fit.q += wq;
  }
  return fit;
}

struct BestAffine {
  F scale;
  F offset;
  F qq;  // sum of w q q
  F q;   // sum of w q
};

// Many starts, as in ScaleSearch.
class AffineSearch {
 public:
  // Free offsets, or those of formats with super-blocks, which are <= 0.
  enum class Offsets { kFree, kAtMostZero };

  AffineSearch(const Run& run, int max_code, Offsets offsets) noexcept
      : run_(run), max_code_(max_code), nearest_(0, max_code), offsets_(offsets) {
    F lowest = run.x[0];
    high_ = run.x[0];
    for (size_t i = 0; i < run.n; ++i) {
      lowest = min(run.x[i], lowest);
      high_ = max(run.x[i], high_);
    }
    level_ = lowest == high_;
    low_ = offsets == Offsets::kFree ? lowest : min(lowest, F{});
    unit_ = (high_ - low_) * (1.0f / static_cast<float>(max_code));
    for (size_t i = 0; i < run.n; ++i) {
      above_[i] = run.x[i] - low_;
      sum_w_ += run.w[i];
      sum_wa_ += run.w[i] * above_[i];
    }
  }

  F sum_of_weights() const noexcept { return sum_w_; }

  // A scale and an offset of any value.
  BestAffine search() noexcept {
    try_starts();
    // All the same: a power of two as code leaves what stands above a number it can say.
    const I positive = high_ > 0.0f;
    const F level_scale = high_ * (1.0f / static_cast<float>((max_code_ + 1) / 2));
    return {select(level_, select(positive, level_scale, F{}), top_.scale),
            select(level_, select(positive, F{}, high_), top_.offset + low_), top_.qq, top_.q};
  }

  // Both on the grid.
  BestAffine search(const HalfGrid& grid) noexcept {
    const BestAffine free = search();
    Best best{F{}, F{}, splat(3e38f)};
    F scale = grid.nearest_scale(free.scale);
    F offset = grid.nearest(free.offset);
    for (int turn = 0; turn < kTurns; ++turn) {
      const AffineFit fit = best.offer(*this, splat(-1), scale, offset);
      const F det = sum_w_ * fit.qq - fit.q * fit.q;
      const F wish = select(det > 1e-6f * sum_w_ * fit.qq,
                            ratio(fit.qq * fit.r - fit.q * fit.rq, det), fit.r / sum_w_);
      const F next_offset = grid.nearest(offset + wish);
      const F next_scale =
          grid.nearest_scale(scale + ratio(fit.rq - (next_offset - offset) * fit.q, fit.qq));
      // Where nothing changes, nothing will.
      if (!any((next_scale != scale) | (next_offset != offset))) break;
      scale = next_scale;
      offset = next_offset;
    }
    best.offer(*this, level_, F{}, grid.nearest(high_));
    settle_offset(grid, best);
    return {best.scale, best.offset, F{}, F{}};
  }

 private:
  static constexpr int kTurns = 3;

  // The best of the starts; its offset is above low_.
  struct Top {
    F gain, scale, offset, qq, q;
  };

  struct Best {
    F scale, offset, error;
    // Only lanes that are allowed to take it.
    AffineFit offer(const AffineSearch& search, I allowed, F other_scale, F other_offset) noexcept {
      const AffineFit fit = fit_affine(search.run_, other_scale, other_offset, search.nearest_);
      const I better = allowed & (fit.error < error);
      scale = select(better, other_scale, scale);
      offset = select(better, other_offset, offset);
      error = select(better, fit.error, error);
      return fit;
    }
  };

  void try_starts() noexcept {
    const F inv_unit = inverse(unit_);
    const auto max_code = static_cast<float>(max_code_);
    // Both ends of the codes lie a little outside or inside the ends of the values.
    for (const float in_low : kInside) {
      for (const float in_high : kInside) {
        try_start(inv_unit * (max_code / (max_code - in_low - in_high)), unit_ * in_low);
      }
    }
    // Zero is a code: what sparse values need.
    const I crosses = (low_ < 0.0f) & (high_ > 0.0f);
    const F zero = round(-low_ * inv_unit);
    for (int by = -1; by <= 1; ++by) {
      const F code = max(min(zero + static_cast<float>(by), splat(max_code - 1.0f)), splat(1.0f));
      const F scale = max(-low_ / code, high_ / (max_code - code));
      try_start(select(crosses, inverse(scale), inv_unit),
                select(crosses, -scale * code - low_, F{}));
    }
  }

  // Least squares for the codes that a scale and an offset (above low_) give.
  void try_start(F inv, F offset) noexcept {
    F sum_q{};
    F aq{};
    F qq{};
    for (size_t i = 0; i < run_.n; ++i) {
      const F q = nearest_((above_[i] - offset) * inv);
      const F wq = run_.w[i] * q;
      sum_q += wq;
      aq += above_[i] * wq;
      qq += q * wq;
    }
    const F det = sum_w_ * qq - sum_q * sum_q;
    F best_offset = ratio(qq * sum_wa_ - sum_q * aq, select(det > 1e-6f * sum_w_ * qq, det, F{}));
    // The offset goes where it is allowed to first, the scale follows.
    if (offsets_ == Offsets::kAtMostZero) best_offset = min(best_offset, -low_);
    const F rest = aq - best_offset * sum_q;
    const F best_scale = ratio(rest, qq);
    const F gain = best_scale * rest + best_offset * (2.0f * sum_wa_ - best_offset * sum_w_);
    const I better = gain > top_.gain;
    top_.gain = select(better, gain, top_.gain);
    top_.scale = select(better, best_scale, top_.scale);
    top_.offset = select(better, best_offset, top_.offset);
    top_.qq = select(better, qq, top_.qq);
    top_.q = select(better, sum_q, top_.q);
  }

  // Where f16's steps at the offset are wide against the scale (values far from zero, close to each
  // other), the neighbours of the best offset are worth a try.
  void settle_offset(const HalfGrid& grid, Best& best) const noexcept {
    const F scale = best.scale;
    const F offset = best.offset;
    const F spacing = grid.spacing(offset);
    const I wide = spacing > 0.1f * abs(scale);
    if (!any(wide)) return;
    for (const float by : {-1.0f, 1.0f}) {
      const F beside = grid.nearest(offset + by * spacing);
      const AffineFit fit = best.offer(*this, wide, scale, beside);
      best.offer(*this, wide, grid.nearest_scale(scale + ratio(fit.rq, fit.qq)), beside);
    }
  }

  const Run& run_;
  int max_code_;
  NearestInteger nearest_;
  Offsets offsets_;
  F low_, high_, unit_;
  I level_;  // Whether all values are the same.
  F above_[kMaxRun];
  F sum_w_{};
  F sum_wa_{};
  Top top_{};
};

}  // namespace
}  // namespace minke::encoders::MINKE_ISA_NS
