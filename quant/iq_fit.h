// How well a group of values fits an IQ1, IQ2 or IQ3 format at a given scale. Used by
// iq_search.cpp only.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "quant/fit.h"
#include "quant/float4.h"
#include "quant/iq_book.h"
#include "quant/iq_search.h"

namespace minke {

/// What a format has beside its code book.
enum class IqSigns {
  kFree,          ///< A sign for each value.
  kEven,          ///< The same, but of eight an even number is negative.
  kShiftOfGroup,  ///< Signed levels, shifted up or down together for a group.
  kShiftOfEight,  ///< The same for eight values.
};

template <class ShapeType, IqSigns kSignsOf, size_t kGroupLen, int kMaxScaleOf>
struct IqKind {
  using Shape = ShapeType;
  static constexpr IqSigns kSigns = kSignsOf;
  static constexpr size_t kGroup = kGroupLen;  ///< Values that share a scale.
  static constexpr int kMaxScale = kMaxScaleOf;
  static constexpr bool kShifts =
      kSigns == IqSigns::kShiftOfGroup || kSigns == IqSigns::kShiftOfEight;
};

/// The code book and levels of a format; `down` are those shifted by -1, else the same.
template <class Shape>
struct IqBook {
  BookIndex<Shape> index;
  PointLevels<Shape> up;
  PointLevels<Shape> down;
  float unit;  ///< A group's scale is d * unit * (2 * scale + 1).
};

/// A block's values, ready to be fitted.
template <class Kind>
class IqFitter {
  using Shape = typename Kind::Shape;
  static constexpr size_t kVectors = Shape::kValues / 4;

 public:
  IqFitter(const Prepared& block, const IqBook<Shape>& book) noexcept
      : book_(book), w_(block.run(0, 256).w) {
    const float* x = block.run(0, 256).x;
    for (size_t i = 0; i < 256; ++i) {
      x_[i] = Kind::kShifts ? x[i] : std::fabs(x[i]);
      if (!Kind::kShifts && x[i] < 0) negative_[i / 8] |= static_cast<uint8_t>(1u << i % 8);
    }
  }

  /// Values of a group: magnitudes where the format has signs.
  const float* group(size_t g) const noexcept { return x_ + g * Kind::kGroup; }

  /// The best codes at a scale > 0; they go to `out` if it is not null.
  ScaleFit fit(size_t g, float scale, IqCodes* out) const noexcept {
    const size_t begin = g * Kind::kGroup;
    const size_t end = begin + Kind::kGroup;
    if constexpr (Kind::kSigns == IqSigns::kShiftOfGroup) {
      const ScaleFit up = fit_values(begin, end, scale, false, out);
      const ScaleFit down = fit_values(begin, end, scale, true, nullptr);
      if (!(down.error < up.error)) return up;
      return out != nullptr ? fit_values(begin, end, scale, true, out) : down;
    } else if constexpr (Kind::kSigns == IqSigns::kShiftOfEight) {
      ScaleFit sum{};
      for (size_t i = begin; i < end; i += 8) {
        const ScaleFit up = fit_values(i, i + 8, scale, false, out);
        const ScaleFit down = fit_values(i, i + 8, scale, true, nullptr);
        const bool is_down = down.error < up.error;
        if (is_down && out != nullptr) fit_values(i, i + 8, scale, true, out);
        const ScaleFit& best = is_down ? down : up;
        sum = {sum.error + best.error, sum.rq + best.rq, sum.qq + best.qq};
      }
      return sum;
    } else {
      return fit_values(begin, end, scale, false, out);
    }
  }

 private:
  struct Eight {
    F4 x[2];
    F4 w[2];
    uint8_t signs;
  };

  ScaleFit fit_values(size_t begin, size_t end, float scale, bool down,
                      IqCodes* out) const noexcept {
    const PointLevels<Shape>& levels = down ? book_.down : book_.up;
    const F4 s = splat4(scale);
    const F4 inverse = splat4(1.0f / scale);
    F4 error{}, rq{}, qq{};
    for (size_t i = begin; i < end; i += 8) {
      Eight eight{{load4(x_ + i), load4(x_ + i + 4)}, {load4(w_ + i), load4(w_ + i + 4)}, down};
      if constexpr (!Kind::kShifts) eight.signs = negative_[i / 8];
      if constexpr (Kind::kSigns == IqSigns::kEven) {
        if (__builtin_parity(eight.signs) != 0) flip_one(eight, scale, levels);
      }
      if (out != nullptr) out->signs[i / 8] = eight.signs;
      for (size_t part = 0; part < 2; part += kVectors) {
        const F4* x = eight.x + part;
        const F4* w = eight.w + part;
        F4 v[kVectors];
        for (size_t k = 0; k < kVectors; ++k) v[k] = x[k] * inverse;
        Point point = levels.nearest_point(v);
        if (!book_.index.has(point)) point = book_.index.search(x, w, scale, levels, point);
        if (out != nullptr) out->codes[(i + 4 * part) / Shape::kValues] = book_.index.code(point);
        F4 q[kVectors];
        levels.values(point, q);
        for (size_t k = 0; k < kVectors; ++k) {
          const F4 r = x[k] - s * q[k];
          const F4 wr = w[k] * r;
          error += wr * r;
          rq += wr * q[k];
          qq += w[k] * q[k] * q[k];
        }
      }
    }
    return {sum4(error), sum4(rq), sum4(qq)};
  }

  /// Gives the value the wrong sign for which that costs least: its magnitude becomes negative, so
  /// that the lowest level is the nearest.
  static void flip_one(Eight& eight, float scale, const PointLevels<Shape>& levels) noexcept {
    const F4 s = splat4(scale);
    const F4 inverse = splat4(1.0f / scale);
    float costs[8];
    for (size_t k = 0; k < 2; ++k) {
      const F4 right = eight.x[k] - s * levels.nearest(eight.x[k] * inverse);
      const F4 wrong = eight.x[k] + splat4(scale * levels.level(0));
      store4(costs + 4 * k, eight.w[k] * (wrong * wrong - right * right));
    }
    size_t least = 0;
    for (size_t i = 1; i < 8; ++i) {
      if (costs[i] < costs[least]) least = i;
    }
    eight.x[least / 4][least % 4] = -eight.x[least / 4][least % 4];
    eight.signs = static_cast<uint8_t>(eight.signs ^ 1u << least);
  }

  const IqBook<Shape>& book_;
  const float* w_;
  alignas(16) float x_[256];
  uint8_t negative_[32] = {};
};

}  // namespace minke
