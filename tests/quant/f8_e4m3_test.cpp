#include "quant/f8_e4m3.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

using namespace minke;

namespace {

bool is_nan(unsigned code) { return (code & 0x7f) == 0x7f; }

}  // namespace

TEST_CASE("e4m3 encodes to the nearest, ties to even, and stops at 448") {
  for (unsigned code = 0; code < 256; ++code) {
    if (is_nan(code)) continue;
    const auto byte = static_cast<uint8_t>(code);
    const float value = e4m3_to_f32(byte);
    CHECK(f32_to_e4m3(value) == byte);
    if (is_nan(code + 1)) continue;
    const auto up = static_cast<uint8_t>(code + 1);  // Of larger magnitude.
    const float middle = (value + e4m3_to_f32(up)) / 2;
    CHECK(f32_to_e4m3(middle) == (code % 2 == 0 ? byte : up));
    CHECK(f32_to_e4m3(std::nextafter(middle, 0.0f)) == byte);
    CHECK(f32_to_e4m3(std::nextafter(middle, 1e9f * middle)) == up);
  }
  CHECK(e4m3_to_f32(0x7e) == 448.0f);
  CHECK(e4m3_to_f32(1) == 0x1p-9f);
  CHECK(std::isnan(e4m3_to_f32(0xff)));
  CHECK(f32_to_e4m3(1e30f) == 0x7e);
  CHECK(f32_to_e4m3(-449.0f) == 0xfe);
}

TEST_CASE("what any scale made of e4m3 numbers comes back to the bit") {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (int turn = 0; turn < 20000; ++turn) {
    BlockF8_E4M3 block;
    block.scale = std::exp(10 * normal(random));
    for (uint8_t& code : block.codes) {
      // Of all sizes, of usual sizes, of the smallest, and mostly zeros.
      const int kind = turn % 4;
      code = static_cast<uint8_t>(random());
      if (kind == 1) code = f32_to_e4m3(100 * normal(random));
      if (kind == 2) code &= 0x87;
      if (kind == 3 && random() % 16 != 0) code &= 0x80;
      if (is_nan(code)) --code;
    }
    float x[64], y[64];
    decode_block(block, x);
    BlockF8_E4M3 again;
    encode_block(x, nullptr, again);
    decode_block(again, y);
    if (std::memcmp(x, y, sizeof(x)) == 0) continue;
    CAPTURE(turn);
    CAPTURE(block.scale);
    FAIL("changed");
  }
}

TEST_CASE(
    "other values get the best of eight scales, which bring the largest to the upper numbers") {
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  for (int turn = 0; turn < 2000; ++turn) {
    float x[64], importance[64], largest = 0;
    const float size = std::exp(10 * normal(random));
    for (int i = 0; i < 64; ++i) {
      x[i] = size * std::exp(2 * normal(random)) * normal(random);
      if (turn % 5 == 0 && random() % 2 == 0) x[i] = 0;
      importance[i] = turn % 2 == 0 ? 1.0f : std::fabs(normal(random));
      largest = std::max(largest, std::fabs(x[i]));
    }
    BlockF8_E4M3 best{};
    double least = std::numeric_limits<double>::infinity();
    for (const float upper : {448.0f, 416.0f, 384.0f, 352.0f, 320.0f, 288.0f, 256.0f, 240.0f}) {
      BlockF8_E4M3 block;
      block.scale = largest / upper;
      const double inverse = 1.0 / double{block.scale};
      double error = 0;
      for (int i = 0; i < 64; ++i) {
        block.codes[i] = f32_to_e4m3(static_cast<float>(double{x[i]} * inverse));
        const double r = double{x[i]} - double{block.scale * e4m3_to_f32(block.codes[i])};
        error += r * r * double{importance[i]};
      }
      if (error < least) {
        least = error;
        best = block;
      }
    }
    BlockF8_E4M3 block;
    encode_block(x, turn % 2 == 0 ? nullptr : importance, block);
    if (std::memcmp(&block, &best, sizeof(block)) == 0) continue;
    CAPTURE(turn);
    FAIL("not the best");
  }
}
