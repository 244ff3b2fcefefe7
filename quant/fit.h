// The parts of the encoders' search (search.h): how well given scales fit a run of values, and the
// scales that fit it best. Used by search.cpp and search_super.cpp only.
//
// All sums run over four lanes in one order: results are the same on every machine.
#pragma once

#include <cstddef>
#include <cstdint>

#include "quant/half.h"
#include "quant/search.h"

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
ScaleFit fit_scale(const Run& run, float scale, const Levels& levels) noexcept;
/// The codes (level indices) behind fit_scale.
void assign_codes(const Run& run, float scale, const Levels& levels, uint8_t* codes) noexcept;

struct BestScale {
  float scale;
  ScaleFit fit;
};
/// The scale, on the grid if there is one, with the least error.
BestScale search_scale(const Run& run, const Levels& levels, const HalfGrid* grid) noexcept;

/// How x ~ scale * q + offset fits with the nearest q of 0..max_code; r = x - scale * q - offset.
struct AffineFit {
  float error;  ///< sum of w r r
  float rq;     ///< sum of w r q
  float r;      ///< sum of w r
  float qq;     ///< sum of w q q
  float q;      ///< sum of w q
  float w;      ///< sum of w
};
AffineFit fit_affine(const Run& run, float scale, float offset, int max_code) noexcept;
void assign_affine_codes(const Run& run, float scale, float offset, int max_code,
                         uint8_t* codes) noexcept;

struct BestAffine {
  float scale;
  float offset;
  AffineFit fit;
};
/// The pair with the least error, on the grid if there is one (a nullptr grid stands for a format
/// with super-blocks, whose offsets are <= 0).
BestAffine search_affine(const Run& run, int max_code, const HalfGrid* grid) noexcept;

}  // namespace minke
