// A block made ready for the search of its scales: values, weights, and where scales can lie. Used
// by the IQ1, IQ2 and IQ3 encoders; those of search.h have it in vectors (search/prepared.h).
#pragma once

#include <cstddef>
#include <cstdint>

#include "quant/half.h"

namespace minke {

/// Values and their weights, n a multiple of 4. Weights are > 0.
struct Run {
  const float* x;
  const float* w;
  size_t n;
};

/// Where a stored scale can lie: f16's numbers, in units of 2^exponent.
class HalfGrid {
 public:
  explicit HalfGrid(int exponent) noexcept;
  float nearest(float v) const noexcept { return value(bits(v)); }
  /// The same for scales: what would round to zero becomes the smallest there is.
  float nearest_scale(float v) const noexcept;
  uint16_t bits(float v) const noexcept;
  float value(uint16_t half) const noexcept;

 private:
  double to_half_;
  double from_half_;
};

/// A block brought to magnitudes near 1, so that squares neither overflow nor vanish; a power of
/// two does it, exactly. Weights are at most 1.
class Prepared {
 public:
  Prepared(const float* x, const float* importance, size_t n) noexcept;
  Run run(size_t begin, size_t n) const noexcept { return {x_ + begin, w_ + begin, n}; }
  const HalfGrid& grid() const noexcept { return grid_; }

 private:
  Prepared(const float* x, const float* importance, size_t n, int exponent) noexcept;
  alignas(16) float x_[256];
  alignas(16) float w_[256];
  HalfGrid grid_;
};

/// How x ~ scale * q fits with the nearest level q for every value; r = x - scale * q.
struct ScaleFit {
  float error;  ///< sum of w r r
  float rq;     ///< sum of w r q
  float qq;     ///< sum of w q q
};

}  // namespace minke
