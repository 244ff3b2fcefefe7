// The search for the best point of a code book (iq_points.h): the one whose weighted distance to a
// few values is least, found exactly.
//
// A point is two halves; a half is two digits; a digit is two values of three levels, or one of
// eight. The distance is a sum over the values, so it is what the lower half costs plus what the
// upper half costs, each counted beyond the nearest levels without a book. A table for each half is
// quickly made, and only those upper halves are looked at that cost less than the best point yet.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "quant/float4.h"
#include "quant/iq_points.h"

namespace minke {

/// Eight values of three levels. A digit is a + 3 * b; 9 to 11 never occur, which makes its table
/// three vectors.
struct EightOfThree {
  static constexpr size_t kValues = 8;
  static constexpr size_t kLevels = 3;
  static constexpr size_t kRadix = 12;
  static constexpr size_t kHalves = 9 * kRadix;  ///< What a half can be: digit + kRadix * digit.
};

/// Four values of eight levels.
struct FourOfEight {
  static constexpr size_t kValues = 4;
  static constexpr size_t kLevels = 8;
  static constexpr size_t kRadix = 8;
  static constexpr size_t kHalves = 8 * kRadix;
};

struct Point {
  size_t low;   ///< The lower half.
  size_t high;  ///< The upper half.
};

/// What the digits of points stand for.
template <class Shape>
class PointLevels {
 public:
  /// Ascending.
  explicit PointLevels(const float (&levels)[Shape::kLevels]) noexcept {
    for (size_t i = 0; i < Shape::kLevels; ++i) {
      level_[i] = levels[i];
      if (i > 0) threshold_[i - 1] = (levels[i - 1] + levels[i]) / 2;
    }
    for (size_t half = 0; half < Shape::kHalves; ++half) {
      const size_t digits[] = {half % Shape::kRadix, half / Shape::kRadix};
      for (size_t i = 0; i < 2; ++i) {
        if constexpr (Shape::kValues == 8) {
          values_[half][2 * i] = levels[digits[i] % 3];
          values_[half][2 * i + 1] = levels[digits[i] / 3 % 3];
        } else {
          values_[half][i] = levels[digits[i]];
        }
      }
    }
  }

  const float* levels() const noexcept { return level_; }
  float level(size_t i) const noexcept { return level_[i]; }

  /// Of every value in units of the scale.
  F4 nearest(F4 v) const noexcept {
    F4 level = splat4(level_[0]);
    for (size_t i = 0; i + 1 < Shape::kLevels; ++i) {
      level += v > splat4(threshold_[i]) ? splat4(level_[i + 1] - level_[i]) : F4{};
    }
    return level;
  }
  /// The point of the nearest levels, which the book may lack.
  Point nearest_point(const F4* v) const noexcept {
    if constexpr (Shape::kValues == 8) {
      constexpr F4 kPlaces = {1, 3, 12, 36};
      return {static_cast<size_t>(sum4(digits(v[0], kPlaces))),
              static_cast<size_t>(sum4(digits(v[1], kPlaces)))};
    } else {
      const F4 d = digits(v[0], F4{1, 8, 1, 8});
      return {static_cast<size_t>(d[0] + d[1]), static_cast<size_t>(d[2] + d[3])};
    }
  }
  /// The values of a point, in units of the scale.
  void values(const Point& point, F4* q) const noexcept {
    const float* low = values_[point.low];
    const float* high = values_[point.high];
    if constexpr (Shape::kValues == 8) {
      q[0] = load4(low);
      q[1] = load4(high);
    } else {
      q[0] = F4{low[0], low[1], high[0], high[1]};
    }
  }

 private:
  F4 digits(F4 v, F4 places) const noexcept {
    F4 sum{};
    for (const float threshold : threshold_) sum += v > splat4(threshold) ? places : F4{};
    return sum;
  }

  float level_[Shape::kLevels];
  float threshold_[Shape::kLevels - 1];
  alignas(16) float values_[Shape::kHalves][4] = {};
};

/// A code book made ready to be searched.
template <class Shape>
class BookIndex {
 public:
  /// `levels` are those of the book's words, ascending.
  template <class Book>
  BookIndex(const Book& book, const uint8_t (&levels)[Shape::kLevels]) noexcept {
    static_assert(Book::kSize <= sizeof(low_) && sizeof(book.word[0]) == Shape::kValues);
    size_t n = 0;
    for (size_t high = 0; high <= Shape::kHalves; ++high) {
      first_[high] = static_cast<uint16_t>(n);
      for (; n < Book::kSize; ++n) {
        const Point point = point_of(book.word[n], levels);
        if (point.high != high) break;
        low_[n] = static_cast<uint8_t>(point.low);
        members_[high][point.low / 64] |= uint64_t{1} << point.low % 64;
      }
    }
  }

  bool has(const Point& point) const noexcept {
    return (members_[point.high][point.low / 64] >> point.low % 64 & 1) != 0;
  }
  /// Of a point that the book has.
  uint16_t code(const Point& point) const noexcept {
    size_t code = first_[point.high];
    while (low_[code] != point.low) ++code;
    return static_cast<uint16_t>(code);
  }
  /// The best point for values x with weights w, at a scale; `nearest` is that of their levels.
  Point search(const F4* x, const F4* w, float scale, const PointLevels<Shape>& levels,
               const Point& nearest) const noexcept {
    alignas(16) float low[Shape::kHalves];
    alignas(16) float high[Shape::kHalves];
    half_costs(x, w, scale, levels, low, high);
    Point best{};
    float least = INFINITY;
    const auto look_at = [&](size_t half) {
      for (size_t code = first_[half]; code < first_[half + 1]; ++code) {
        const float cost = high[half] + low[low_[code]];
        if (cost < least) {
          least = cost;
          best = {low_[code], half};
        }
      }
    };
    look_at(nearest.high);
    for (size_t half = 0; half < Shape::kHalves; ++half) {
      if (high[half] < least) look_at(half);
    }
    return best;
  }

 private:
  template <class Word>
  static Point point_of(Word word, const uint8_t (&levels)[Shape::kLevels]) noexcept {
    size_t digits[Shape::kValues];
    for (size_t i = 0; i < Shape::kValues; ++i) {
      const auto level = static_cast<uint8_t>(word >> 8 * i);
      digits[i] = 0;
      while (levels[digits[i]] != level) ++digits[i];
    }
    if constexpr (Shape::kValues == 8) {
      return {digits[0] + 3 * digits[1] + 12 * (digits[2] + 3 * digits[3]),
              digits[4] + 3 * digits[5] + 12 * (digits[6] + 3 * digits[7])};
    } else {
      return {digits[0] + 8 * digits[1], digits[2] + 8 * digits[3]};
    }
  }

  /// What each lower and each upper half costs beyond the cheapest one.
  static void half_costs(const F4* x, const F4* w, float scale, const PointLevels<Shape>& levels,
                         float* low, float* high) noexcept {
    alignas(16) float digits[4][Shape::kRadix];
    for (size_t v = 0; v < Shape::kValues / 4; ++v) {
      F4 cost[Shape::kLevels];
      F4 least{};
      for (size_t i = 0; i < Shape::kLevels; ++i) {
        const F4 r = x[v] - splat4(scale * levels.level(i));
        cost[i] = w[v] * r * r;
        least = i == 0 ? cost[i] : min4(least, cost[i]);
      }
      for (F4& c : cost) c -= least;
      if constexpr (Shape::kValues == 8) {
        for (size_t pair = 0; pair < 2; ++pair) {
          float* digit = digits[2 * v + pair];
          for (size_t b = 0; b < 3; ++b)
            for (size_t a = 0; a < 3; ++a)
              digit[a + 3 * b] = cost[a][2 * pair] + cost[b][2 * pair + 1];
          for (size_t i = 9; i < Shape::kRadix; ++i) digit[i] = INFINITY;
        }
      } else {
        for (size_t i = 0; i < Shape::kLevels; ++i)
          for (size_t k = 0; k < 4; ++k) digits[k][i] = cost[i][k];
      }
    }
    add_digits(digits[0], digits[1], low);
    add_digits(digits[2], digits[3], high);
  }

  static void add_digits(const float* digit, const float* next, float* half) noexcept {
    for (size_t b = 0; b < Shape::kHalves / Shape::kRadix; ++b)
      for (size_t a = 0; a < Shape::kRadix; a += 4)
        store4(half + b * Shape::kRadix + a, load4(digit + a) + splat4(next[b]));
  }

  uint8_t low_[2048] = {};                        ///< Lower half of every code.
  uint16_t first_[Shape::kHalves + 1] = {};       ///< First code of every upper half.
  uint64_t members_[Shape::kHalves + 1][2] = {};  ///< Bit `low` of [high].
};

}  // namespace minke
