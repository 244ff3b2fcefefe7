#include "quant/f8_e4m3.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace minke {
namespace {

constexpr size_t kLen = BlockF8_E4M3::kLen;

/// The number with four significant bits that is nearest to v > 0, ties to even.
double nearest_number(double v) noexcept {
  constexpr int kDropped = 49;  // of 52 bits behind the leading one
  const auto bits = std::bit_cast<uint64_t>(v);
  const uint64_t half = (uint64_t{1} << (kDropped - 1)) - 1 + (bits >> kDropped & 1);
  return std::bit_cast<double>((bits + half) >> kDropped << kDropped);
}

/// The largest k such that n * 2^k is at most 448, for such a number.
int most_shift(double n) noexcept {
  const auto bits = std::bit_cast<uint64_t>(n);
  const int exponent = static_cast<int>(bits >> 52) - 1023;
  return (bits >> 49 & 7) == 7 ? 7 - exponent : 8 - exponent;
}

/// Whether every value is `scale` times a number with four bits, rounded. Then `shift` is the
/// largest power of two by which all these numbers stay at most 448.
bool fits(const float* x, float scale, int& shift) noexcept {
  shift = std::numeric_limits<int>::max();
  for (size_t i = 0; i < kLen; ++i) {
    const float magnitude = std::fabs(x[i]);
    if (magnitude == 0.0f) continue;
    const double n = nearest_number(double{magnitude} / double{scale});
    if (scale * static_cast<float>(n) != magnitude) return false;
    shift = std::min(shift, most_shift(n));
  }
  return true;
}

double inverse_of(float scale) noexcept { return scale > 0.0f ? 1.0 / double{scale} : 0.0; }

void assign(const float* x, float scale, BlockF8_E4M3& block) noexcept {
  block.scale = scale;
  const double inverse = inverse_of(scale);
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
    const auto middle = std::bit_cast<uint32_t>(static_cast<float>(double{largest} / fraction));
    const uint32_t first = middle - std::min(middle, 2u);
    for (uint32_t i = 0; i < 5; ++i) {  // neighbours among floats are so among their bits
      const auto scale = std::bit_cast<float>(first + i);
      int shift = 0;
      if (scale * static_cast<float>(fraction) != largest || !fits(x, scale, shift)) continue;
      assign(x, std::ldexp(scale, -shift), block);
      if (decodes_to(block, x)) return true;
    }
  }
  return false;
}

/// e4m3_to_f32(f32_to_e4m3(value)), without a code between.
[[gnu::always_inline]] inline float nearest_e4m3(float value) noexcept {
  const auto bits = std::bit_cast<int32_t>(value);
  const int32_t magnitude = bits & 0x7fffffff;
  const int32_t rest = magnitude < 0x43e00000 ? magnitude : 0x43e00000;  // 448
  const int32_t normal = (rest + 0x7ffff + (rest >> 20 & 1)) & ~0xfffff;
  const auto denormal = std::bit_cast<int32_t>(std::bit_cast<float>(rest) + 16384.0f - 16384.0f);
  const int32_t is_normal = -static_cast<int32_t>(rest >= (121 << 23));  // a mask: no branch
  const int32_t nearest = (normal & is_normal) | (denormal & ~is_normal);
  return std::bit_cast<float>(nearest | (bits & ~0x7fffffff));
}

/// The largest value goes to one of the upper numbers: the one that leaves the least error.
float best_scale(const float* x, const float* weights, float largest) noexcept {
  constexpr int kScales = 8;
  constexpr float kUpper[kScales] = {448.0f, 416.0f, 384.0f, 352.0f,
                                     320.0f, 288.0f, 256.0f, 240.0f};
  float scales[kScales], decoded[kScales][kLen];
  for (int s = 0; s < kScales; ++s) {
    float scale = largest / kUpper[s];
    if (!std::isfinite(scale * kUpper[s])) scale = std::nextafter(scale, 0.0f);
    const double inverse = inverse_of(scale);
    for (size_t i = 0; i < kLen; ++i)
      decoded[s][i] = scale * nearest_e4m3(static_cast<float>(double{x[i]} * inverse));
    scales[s] = scale;
  }
  double errors[kScales] = {};
  for (size_t i = 0; i < kLen; ++i) {
    const double weight = weights != nullptr ? double{weights[i]} : 1.0;
    for (int s = 0; s < kScales; ++s) {  // side by side: no sum waits for another
      const double r = double{x[i]} - double{decoded[s][i]};
      errors[s] += r * r * weight;
    }
  }
  return scales[std::min_element(errors, errors + kScales) - errors];
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
  assign(x, best_scale(x, weights, largest), block);
}

}  // namespace minke
