#include "quant/iq_search.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "quant/iq_fit.h"

namespace minke {
namespace {

constexpr int kMaxTurns = 4;
constexpr size_t kMaxGroups = 16;
/// Choices of d that are followed, of those that look best.
constexpr size_t kTries = 2;
/// Scales of a group that are followed by least squares, of those that start.
constexpr size_t kFollowed = 2;

/// Which of a few candidates promise the least error.
template <size_t kN>
class Shortlist {
 public:
  Shortlist() noexcept { std::fill(error_, error_ + kN, INFINITY); }
  void add(float error, float scale) noexcept {
    size_t at = kN;
    while (at > 0 && error < error_[at - 1]) --at;
    if (at == kN) return;
    for (size_t i = kN - 1; i > at; --i) {
      error_[i] = error_[i - 1];
      scale_[i] = scale_[i - 1];
    }
    error_[at] = error;
    scale_[at] = scale;
    n_ = std::min(n_ + 1, kN);
  }
  std::span<const float> scales() const noexcept { return {scale_, n_}; }

 private:
  float error_[kN];
  float scale_[kN] = {};
  size_t n_ = 0;
};

struct Choice {
  float error;
  float d;
  int scales[kMaxGroups];
};

template <class Kind>
class IqSearch {
  using Shape = typename Kind::Shape;
  static constexpr size_t kGroups = 256 / Kind::kGroup;

 public:
  /// `starts`: what level, in a group, its largest value goes to.
  IqSearch(const float* x, const float* importance, const IqBook<Shape>& book,
           std::span<const float> starts) noexcept
      : block_(x, importance, 256), fitter_(block_, book), unit_(book.unit), starts_(starts) {
    const Run all = block_.run(0, 256);
    best_ = {0, 0, {}};
    for (size_t i = 0; i < all.n; ++i) best_.error += all.w[i] * all.x[i] * all.x[i];
  }

  void encode(float lowest_level, IqCodes& out) noexcept {
    for (size_t g = 0; g < kGroups; ++g) search_group(g);
    const Shortlist<kTries> likely = likely_steps();
    for (const float d : likely.scales()) improve(d);
    try_level_block(lowest_level);
    out.d = block_.grid().bits(best_.d);
    for (size_t g = 0; g < kGroups; ++g) {
      out.scales[g] = static_cast<uint8_t>(best_.scales[g]);
      fitter_.fit(g, std::max(scale_of(best_.d, best_.scales[g]), kTiny), &out);
    }
  }

 private:
  /// Stands for a scale of 0, with which no value has a nearest level.
  static constexpr float kTiny = 1e-20f;

  float scale_of(float d, int scale) const noexcept {
    return d * unit_ * static_cast<float>(2 * scale + 1);
  }

  /// The scale, of any, that fits a group best.
  void search_group(size_t g) noexcept {
    float largest = 0;
    for (size_t i = 0; i < Kind::kGroup; ++i) {
      largest = std::max(largest, std::fabs(fitter_.group(g)[i]));
    }
    if (largest == 0) {
      wanted_[g] = 0;
      weight_[g] = fitter_.fit(g, kTiny, nullptr).qq;
      return;
    }
    Shortlist<kFollowed> likely;
    for (const float start : starts_) {
      const float scale = largest / start;
      const ScaleFit fit = fitter_.fit(g, scale, nullptr);
      const float step = fit.rq / fit.qq;
      likely.add(fit.error - step * fit.rq, scale + step);
    }
    float least = INFINITY;
    for (float scale : likely.scales()) {
      for (int turn = 0; turn < kMaxTurns; ++turn) {
        if (!(scale > kTiny)) break;
        const ScaleFit fit = fitter_.fit(g, scale, nullptr);
        if (fit.error < least) {
          least = fit.error;
          wanted_[g] = scale;
          weight_[g] = fit.qq;
        }
        const float step = fit.rq / fit.qq;
        if (fit.error - step * fit.rq >= least || std::fabs(step) < 1e-4f * scale) break;
        scale += step;
      }
    }
  }

  /// The scale that group g wants at this d, between the integers.
  float wished_scale(size_t g, float d) const noexcept {
    const float scale = (wanted_[g] / (d * unit_) - 1) / 2;
    return std::clamp(scale, 0.0f, static_cast<float>(Kind::kMaxScale));
  }

  /// Values of d: away from its best, a group's error grows by weight * (scale - wanted)^2.
  Shortlist<kTries> likely_steps() const noexcept {
    Shortlist<kTries> likely;
    const float most = *std::max_element(wanted_, wanted_ + kGroups);
    if (most == 0) return likely;
    constexpr int kTop = 2 * Kind::kMaxScale + 1;
    for (int halves = kTop * 2 + 2; halves >= kTop * 2 / 3; --halves) {
      const float d = most / (unit_ * static_cast<float>(halves) / 2);
      float error = 0;
      for (size_t g = 0; g < kGroups; ++g) {
        const auto scale = static_cast<int>(std::nearbyint(wished_scale(g, d)));
        const float r = wanted_[g] - scale_of(d, scale);
        error += weight_[g] * r * r;
      }
      likely.add(error, d);
    }
    return likely;
  }

  /// From a d to the scales, from these to the d, by turns.
  void improve(float d) noexcept {
    d = block_.grid().nearest_scale(d);
    for (int turn = 0; turn < kMaxTurns && d > 0; ++turn) {
      Choice now{0, d, {}};
      float rq = 0, qq = 0;
      for (size_t g = 0; g < kGroups; ++g) {
        const ScaleFit fit = choose_scale(g, d, now.scales[g]);
        const auto odd = unit_ * static_cast<float>(2 * now.scales[g] + 1);
        now.error += fit.error;
        rq += odd * fit.rq;
        qq += odd * odd * fit.qq;
      }
      const bool is_better = now.error < best_.error;
      if (is_better) best_ = now;
      const float next = block_.grid().nearest_scale(d + rq / qq);
      if (!is_better || next == d) return;
      d = next;
    }
  }

  /// The better one of the two integers around the wish.
  ScaleFit choose_scale(size_t g, float d, int& best) const noexcept {
    const int below = std::min(static_cast<int>(wished_scale(g, d)), Kind::kMaxScale - 1);
    const ScaleFit fit = fitter_.fit(g, scale_of(d, below), nullptr);
    const ScaleFit above = fitter_.fit(g, scale_of(d, below + 1), nullptr);
    best = above.error < fit.error ? below + 1 : below;
    return above.error < fit.error ? above : fit;
  }

  /// Values of one magnitude: with the lowest level and scale 0, f16 need say nothing but it.
  void try_level_block(float lowest_level) noexcept {
    const Run all = block_.run(0, 256);
    const float magnitude = std::fabs(all.x[0]);
    for (size_t i = 1; i < all.n; ++i) {
      if (std::fabs(all.x[i]) != magnitude) return;
    }
    std::fill(wanted_, wanted_ + kGroups, magnitude / lowest_level);
    if (magnitude > 0) improve(magnitude / lowest_level / unit_);
  }

  Prepared block_;
  IqFitter<Kind> fitter_;
  float unit_;
  std::span<const float> starts_;
  float wanted_[kMaxGroups] = {};
  float weight_[kMaxGroups] = {};
  Choice best_{};
};

template <class Kind>
void encode(const float* x, const float* importance, const IqBook<typename Kind::Shape>& book,
            std::span<const float> starts, float lowest_level, IqCodes& out) noexcept {
  IqSearch<Kind>(x, importance, book, starts).encode(lowest_level, out);
}

constexpr float kIQ1Starts[] = {7.5f, 9, 10.5f, 12, 13.5f, 15, 17, 20};
constexpr float kIQ2Starts[] = {25, 32, 38, 43, 47, 52, 57, 64};
constexpr float kIQ3_XXSStarts[] = {40, 48, 53, 57, 61, 65, 70};
constexpr float kIQ3_SStarts[] = {10, 12, 13, 14, 14.8f, 15.6f, 17};

const IqBook<EightOfThree>& iq1_book() noexcept {
  static const IqBook<EightOfThree> book{{kIQ1Book, {0, 8, 16}},
                                         PointLevels<EightOfThree>({-7, 1, 9}),
                                         PointLevels<EightOfThree>({-9, -1, 7}),
                                         0.125f};
  return book;
}

template <class Book>
IqBook<EightOfThree> iq2_book(const Book& book) noexcept {
  const PointLevels<EightOfThree> levels({8, 25, 43});
  return {{book, {8, 25, 43}}, levels, levels, 0.125f};
}

template <class Book>
IqBook<FourOfEight> iq3_book(const Book& book, const uint8_t (&levels)[8], float unit) noexcept {
  float values[8];
  std::copy(levels, levels + 8, values);
  const PointLevels<FourOfEight> all(values);
  return {{book, levels}, all, all, unit};
}

}  // namespace

void encode_iq1_s(const float* x, const float* importance, IqCodes& out) noexcept {
  using Kind = IqKind<EightOfThree, IqSigns::kShiftOfGroup, 32, 7>;
  encode<Kind>(x, importance, iq1_book(), kIQ1Starts, 1, out);
}

void encode_iq1_m(const float* x, const float* importance, IqCodes& out) noexcept {
  using Kind = IqKind<EightOfThree, IqSigns::kShiftOfEight, 16, 7>;
  encode<Kind>(x, importance, iq1_book(), kIQ1Starts, 1, out);
}

void encode_iq2_xxs(const float* x, const float* importance, IqCodes& out) noexcept {
  using Kind = IqKind<EightOfThree, IqSigns::kEven, 32, 15>;
  static const auto book = iq2_book(kIQ2_XXSBook);
  encode<Kind>(x, importance, book, kIQ2Starts, 8, out);
}

void encode_iq2_xs(const float* x, const float* importance, IqCodes& out) noexcept {
  using Kind = IqKind<EightOfThree, IqSigns::kEven, 16, 15>;
  static const auto book = iq2_book(kIQ2_XSBook);
  encode<Kind>(x, importance, book, kIQ2Starts, 8, out);
}

void encode_iq2_s(const float* x, const float* importance, IqCodes& out) noexcept {
  using Kind = IqKind<EightOfThree, IqSigns::kFree, 16, 15>;
  static const auto book = iq2_book(kIQ2_SBook);
  encode<Kind>(x, importance, book, kIQ2Starts, 8, out);
}

void encode_iq3_xxs(const float* x, const float* importance, IqCodes& out) noexcept {
  using Kind = IqKind<FourOfEight, IqSigns::kEven, 32, 15>;
  static const auto book = iq3_book(kIQ3_XXSBook, {4, 12, 20, 28, 36, 44, 52, 62}, 0.25f);
  encode<Kind>(x, importance, book, kIQ3_XXSStarts, 4, out);
}

void encode_iq3_s(const float* x, const float* importance, IqCodes& out) noexcept {
  using Kind = IqKind<FourOfEight, IqSigns::kFree, 32, 15>;
  static const auto book = iq3_book(kIQ3_SBook, {1, 3, 5, 7, 9, 11, 13, 15}, 1.0f);
  encode<Kind>(x, importance, book, kIQ3_SStarts, 1, out);
}

}  // namespace minke
