#include "quant/mxfp4.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace minke {
namespace {

constexpr double kLevels[8] = {0, 1, 2, 3, 4, 6, 8, 12};
constexpr double kThresholds[7] = {0.5, 1.5, 2.5, 3.5, 5, 7, 10};
constexpr int kMaxExponent = 252;  // 12 times the next one's scale is infinite.

/// The level nearest to a magnitude that is in units of the scale.
size_t nearest_level(double magnitude) noexcept {
  size_t level = 0;
  for (const double threshold : kThresholds) level += magnitude > threshold;
  return level;
}

double error_at(const float* x, const float* weights, int e) noexcept {
  const double to_units = std::ldexp(1.0, 128 - e);
  double sum = 0.0;
  for (size_t i = 0; i < BlockMXFP4::kLen; ++i) {
    const double v = std::fabs(double{x[i]}) * to_units;
    const double r = v - kLevels[nearest_level(v)];
    sum += r * r * (weights != nullptr ? double{weights[i]} : 1.0);
  }
  return std::ldexp(sum, 2 * (e - 128));
}

}  // namespace

void encode_block(const float* x, const float* importance, BlockMXFP4& block) noexcept {
  double largest = 0.0;
  double heaviest = 0.0;
  for (size_t i = 0; i < BlockMXFP4::kLen; ++i) {
    largest = std::max(largest, std::fabs(double{x[i]}));
    if (importance != nullptr) heaviest = std::max(heaviest, double{importance[i]});
  }
  const float* weights = heaviest > 0.0 ? importance : nullptr;
  int best = 0;
  double least = std::numeric_limits<double>::infinity();
  // With this the largest value lies between levels 8 and 16. Weights can make it worth to cut the
  // largest values off, or to leave room above them.
  const int middle = largest > 0.0 ? std::ilogb(largest) - 3 + 128 : 0;
  for (int e = std::max(middle - 3, 0); e <= std::min(middle + 1, kMaxExponent); ++e) {
    const double error = error_at(x, weights, e);
    if (error < least) {
      least = error;
      best = e;
    }
  }
  block.e = static_cast<uint8_t>(best);
  const double to_units = std::ldexp(1.0, 128 - best);
  uint8_t codes[BlockMXFP4::kLen];
  for (size_t i = 0; i < BlockMXFP4::kLen; ++i) {
    const size_t level = nearest_level(std::fabs(double{x[i]}) * to_units);
    codes[i] = static_cast<uint8_t>(level | (x[i] < 0.0f && level > 0 ? 8u : 0u));
  }
  pack_bits<4, 16>(codes, block.qs);
}

}  // namespace minke
