#include "quant/f8_e4m3.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace minke {
namespace {

constexpr size_t kLen = BlockF8_E4M3::kLen;

/// fraction * 2^exponent, 8 <= fraction <= 15.
struct Normal {
  int fraction;
  int exponent;
};

Normal nearest_normal(double v) noexcept {
  int exponent = 0;
  const auto fraction = static_cast<int>(std::nearbyint(std::frexp(v, &exponent) * 16));
  return fraction == 16 ? Normal{8, exponent - 3} : Normal{fraction, exponent - 4};
}

/// The largest k such that n * 2^k is at most 448.
int most_shift(Normal n) noexcept { return (n.fraction == 15 ? 4 : 5) - n.exponent; }

/// Whether every value is `scale` times a number with four bits, rounded. Then `shift` is the
/// largest power of two by which all these numbers stay at most 448.
bool fits(const float* x, float scale, int& shift) noexcept {
  shift = std::numeric_limits<int>::max();
  for (size_t i = 0; i < kLen; ++i) {
    const float magnitude = std::fabs(x[i]);
    if (magnitude == 0.0f) continue;
    const Normal n = nearest_normal(double{magnitude} / double{scale});
    if (scale * std::ldexp(static_cast<float>(n.fraction), n.exponent) != magnitude) return false;
    shift = std::min(shift, most_shift(n));
  }
  return true;
}

void assign(const float* x, float scale, BlockF8_E4M3& block) noexcept {
  block.scale = scale;
  const double inverse = scale > 0.0f ? 1.0 / double{scale} : 0.0;
  for (size_t i = 0; i < kLen; ++i) {
    block.codes[i] = f32_to_e4m3(static_cast<float>(double{x[i]} * inverse));
  }
}

bool decodes_to(const BlockF8_E4M3& block, const float* x) noexcept {
  float y[kLen];
  decode_block(block, y);
  return std::equal(x, x + kLen, y);
}

/// Finds the scale that values of FP8 had, if there is one. The largest value is the scale times
/// 8, 9, .. or 15 and a power of two, rounded. So the scale is one of the few floats around its
/// eighth, ninth, .. or fifteenth part, but for the power of two: and that has to be the one that
/// brings the largest number up to 448, if any power brings the smallest ones above what e4m3
/// drops.
bool encode_exactly(const float* x, float largest, BlockF8_E4M3& block) noexcept {
  for (int fraction = 8; fraction <= 15; ++fraction) {
    auto scale = static_cast<float>(double{largest} / fraction);
    for (int i = 0; i < 2; ++i) scale = std::nextafter(scale, 0.0f);
    for (int i = 0; i < 5; ++i, scale = std::nextafter(scale, INFINITY)) {
      int shift = 0;
      if (scale * static_cast<float>(fraction) != largest || !fits(x, scale, shift)) continue;
      assign(x, std::ldexp(scale, -shift), block);
      if (decodes_to(block, x)) return true;
    }
  }
  return false;
}

double error_of(const float* x, const float* weights, const BlockF8_E4M3& block) noexcept {
  float y[kLen];
  decode_block(block, y);
  double sum = 0.0;
  for (size_t i = 0; i < kLen; ++i) {
    const double r = double{x[i]} - double{y[i]};
    sum += r * r * (weights != nullptr ? double{weights[i]} : 1.0);
  }
  return sum;
}

}  // namespace

void encode_block(const float* x, const float* importance, BlockF8_E4M3& block) noexcept {
  float largest = 0.0f;
  float heaviest = 0.0f;
  for (size_t i = 0; i < kLen; ++i) {
    largest = std::max(largest, std::fabs(x[i]));
    if (importance != nullptr) heaviest = std::max(heaviest, importance[i]);
  }
  const float* weights = heaviest > 0.0f ? importance : nullptr;
  if (largest == 0.0f) return assign(x, 1.0f, block);
  if (encode_exactly(x, largest, block)) return;
  // The largest value goes to one of the upper numbers.
  double least = std::numeric_limits<double>::infinity();
  BlockF8_E4M3 now;
  for (const float to : {448.0f, 416.0f, 384.0f, 352.0f, 320.0f, 288.0f, 256.0f, 240.0f}) {
    float scale = largest / to;
    if (!std::isfinite(scale * to)) scale = std::nextafter(scale, 0.0f);
    assign(x, scale, now);
    const double error = error_of(x, weights, now);
    if (error < least) {
      least = error;
      block = now;
    }
  }
}

}  // namespace minke
