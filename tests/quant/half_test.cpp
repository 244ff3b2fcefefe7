#include "quant/half.h"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

using namespace minke;

namespace {

// By the definition of the formats: sign, exponent, fraction.
float decode_plainly(uint16_t half, int exponent_bits) {
  const int fraction_bits = 15 - exponent_bits;
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = half >> fraction_bits & ((1 << exponent_bits) - 1);
  const int fraction = half & ((1 << fraction_bits) - 1);
  const double sign = half & 0x8000 ? -1.0 : 1.0;
  if (exponent == (1 << exponent_bits) - 1) {
    if (fraction != 0) return std::numeric_limits<float>::quiet_NaN();
    return static_cast<float>(sign * std::numeric_limits<double>::infinity());
  }
  const double value =
      exponent == 0 ? std::ldexp(fraction, 1 - bias - fraction_bits)
                    : std::ldexp((1 << fraction_bits) + fraction, exponent - bias - fraction_bits);
  return static_cast<float>(sign * value);
}

bool same(float a, float b) {
  return std::isnan(a) ? std::isnan(b) : std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b);
}

// The values that decide how rounding goes: each half, the middles between neighbours, and the
// floats right beside those.
template <class Decode, class Check>
void for_rounding_cases(uint16_t infinity, Decode decode, Check check) {
  for (uint16_t half = 0; half < infinity; ++half) {
    const double low = decode(half);
    // The step beyond the largest number leads to where infinity would be, were it a number.
    const double high = half + 1 == infinity ? 2 * low - decode(static_cast<uint16_t>(half - 1))
                                             : decode(static_cast<uint16_t>(half + 1));
    const auto middle = static_cast<float>((low + high) / 2);
    const auto up = static_cast<uint16_t>(half + 1);
    check(static_cast<float>(low), half);
    check(std::nextafter(middle, 0.0f), half);
    check(middle, half % 2 == 0 ? half : up);
    check(std::nextafter(middle, std::numeric_limits<float>::infinity()), up);
  }
}

}  // namespace

TEST_CASE("every f16 and bf16 decodes to the float that its bits define") {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    INFO("bits ", bits);
    if (!same(f16_to_f32(half), decode_plainly(half, 5))) FAIL("f16");
    if (!same(bf16_to_f32(half), decode_plainly(half, 8))) FAIL("bf16");
  }
}

TEST_CASE("encoding rounds to the nearest half, ties to even, in both signs") {
  int wrong = 0;
  for_rounding_cases(
      0x7c00, [](uint16_t h) { return f16_to_f32(h); },
      [&](float value, uint16_t expected) {
        wrong += f32_to_f16(value) != expected;
        wrong += f32_to_f16(-value) != (expected | 0x8000);
      });
  CHECK(wrong == 0);
  for_rounding_cases(
      0x7f80, [](uint16_t h) { return bf16_to_f32(h); },
      [&](float value, uint16_t expected) {
        wrong += f32_to_bf16(value) != expected;
        wrong += f32_to_bf16(-value) != (expected | 0x8000);
      });
  CHECK(wrong == 0);
}

TEST_CASE("infinities and NaNs survive the way to a half and back") {
  const float infinity = std::numeric_limits<float>::infinity();
  CHECK(f16_to_f32(f32_to_f16(infinity)) == infinity);
  CHECK(f16_to_f32(f32_to_f16(-infinity)) == -infinity);
  CHECK(f16_to_f32(f32_to_f16(1e30f)) == infinity);
  CHECK(bf16_to_f32(f32_to_bf16(-infinity)) == -infinity);
  // A quiet NaN, and one whose payload lies only in bits that a half lacks.
  for (const uint32_t bits : {0x7fc00000u, 0xff800001u, 0x7f801fffu}) {
    CHECK(std::isnan(f16_to_f32(f32_to_f16(std::bit_cast<float>(bits)))));
    CHECK(std::isnan(bf16_to_f32(f32_to_bf16(std::bit_cast<float>(bits)))));
  }
  CHECK(f32_to_f16(kF16Max) == 0x7bff);
  CHECK(std::isfinite(bf16_to_f32(kBf16MaxBits)));
  CHECK(f32_to_f16(-0.0f) == 0x8000);
  CHECK(f32_to_f16(1e-40f) == 0);
}

#if defined(__aarch64__)
#define MINKE_NATIVE_HALF __fp16  // gcc 12 has no _Float16 in C++ for Arm
#elif defined(__FLT16_MANT_DIG__)
#define MINKE_NATIVE_HALF _Float16
#endif

#ifdef MINKE_NATIVE_HALF
TEST_CASE("f16 agrees with the compiler's half type") {
  using NativeHalf = MINKE_NATIVE_HALF;
  std::mt19937 random(1);
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    if (!same(f16_to_f32(half), static_cast<float>(std::bit_cast<NativeHalf>(half)))) FAIL(bits);
  }
  for (int i = 0; i < 200'000; ++i) {
    const auto value = std::bit_cast<float>(static_cast<uint32_t>(random()));
    if (std::isnan(value)) continue;
    if (f32_to_f16(value) != std::bit_cast<uint16_t>(static_cast<NativeHalf>(value))) FAIL(value);
  }
}
#endif

TEST_CASE("rows convert as single values do") {
  std::vector<uint16_t> halves(65536);
  for (size_t i = 0; i < halves.size(); ++i) halves[i] = static_cast<uint16_t>(i);
  std::vector<float> values(halves.size());
  std::vector<uint16_t> back(halves.size());
  int wrong = 0;
  f16_to_f32(halves.data(), values.data(), halves.size());
  f32_to_f16(values.data(), back.data(), halves.size());
  for (size_t i = 0; i < halves.size(); ++i) {
    wrong += !same(values[i], f16_to_f32(halves[i]));
    wrong += back[i] != f32_to_f16(values[i]);
  }
  CHECK(wrong == 0);
  bf16_to_f32(halves.data(), values.data(), halves.size());
  f32_to_bf16(values.data(), back.data(), halves.size());
  for (size_t i = 0; i < halves.size(); ++i) {
    wrong += !same(values[i], bf16_to_f32(halves[i]));
    wrong += back[i] != f32_to_bf16(values[i]);
  }
  CHECK(wrong == 0);
}
