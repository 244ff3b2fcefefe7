// What every encoder must hold to, enrolled from the list of formats.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <string_view>
#include <vector>

#include "quant/format.h"
#include "quant/half.h"
#include "quant/iq4_nl.h"
#include "quant/iq4_xs.h"
#include "quant/q2_k.h"
#include "quant/q3_k.h"
#include "quant/q4_0.h"
#include "quant/q4_1.h"
#include "quant/q4_k.h"
#include "quant/q5_0.h"
#include "quant/q5_1.h"
#include "quant/q5_k.h"
#include "quant/q6_k.h"
#include "quant/q8_0.h"
#include "quant/search/encoders.h"

using namespace minke;

namespace {

using Floats = std::vector<float>;
using Bytes = std::vector<uint8_t>;

Bytes encode(const FormatTraits& format, const Floats& x, const float* importance = nullptr) {
  const size_t n_blocks = x.size() / format.block_len;
  Bytes blocks(n_blocks * format.block_bytes);
  format.encode(x.data(), importance, blocks.data(), n_blocks);
  return blocks;
}

Floats decode(const FormatTraits& format, const Bytes& blocks) {
  const size_t n_blocks = blocks.size() / format.block_bytes;
  Floats x(n_blocks * format.block_len);
  format.decode(blocks.data(), x.data(), n_blocks);
  return x;
}

double energy(const Floats& x) {
  double sum = 0.0;
  for (const float v : x) sum += double{v} * double{v};
  return sum;
}

// Sum of w (x - y)^2.
double error(const Floats& x, const Floats& y, const float* w = nullptr) {
  double sum = 0.0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double r = double{x[i]} - double{y[i]};
    sum += r * r * (w != nullptr ? w[i] : 1.0);
  }
  return sum;
}

struct Kind {
  std::string_view name;
  std::function<float(std::mt19937&)> draw;
};

float normal(std::mt19937& random) { return std::normal_distribution<float>()(random); }

const Kind kKinds[] = {
    {"normal", normal},
    {"heavy-tailed", [](std::mt19937& r) { return std::student_t_distribution<float>(2.0f)(r); }},
    {"sparse", [](std::mt19937& r) { return r() % 10 == 0 ? normal(r) : 0.0f; }},
    {"far from zero", [](std::mt19937& r) { return 1000.0f + 0.1f * normal(r); }},
    {"all negative", [](std::mt19937& r) { return -std::fabs(normal(r)); }},
    {"below f16's normal range", [](std::mt19937& r) { return 3e-7f * normal(r); }},
    {"denormal", [](std::mt19937& r) { return 1e-40f * normal(r); }},
    {"beyond f16", [](std::mt19937& r) { return 1e30f * normal(r); }},
    {"near the end of f32",
     [](std::mt19937& r) { return std::numeric_limits<float>::max() * (r() % 2 ? 1.0f : -1.0f); }},
    {"of all sizes", [](std::mt19937& r) { return normal(r) * std::exp2(20.0f * normal(r)); }},
};

Floats draw(const Kind& kind, size_t n) {
  std::mt19937 random(42);
  Floats x(n);
  for (float& v : x) v = kind.draw(random);
  return x;
}

// The plainest encoder there is: the range of every run of `len` values decides its scale (and
// min), held in full precision; codes are rounded to the nearest.
struct Plain {
  std::string_view name;
  size_t len;
  int lo, hi;
  bool has_min = false;
  bool min_at_most_zero = false;
};

const Plain kPlain[] = {
    {"Q4_0", 32, -8, 7},       {"Q4_1", 32, 0, 15, true},       {"Q5_0", 32, -16, 15},
    {"Q5_1", 32, 0, 31, true}, {"Q8_0", 32, -127, 127},         {"Q2_K", 16, 0, 3, true, true},
    {"Q3_K", 16, -4, 3},       {"Q4_K", 32, 0, 15, true, true}, {"Q5_K", 32, 0, 31, true, true},
    {"Q6_K", 16, -32, 31},     {"IQ4_NL", 32, -127, 113},       {"IQ4_XS", 32, -127, 113},
};

// Formats whose values are points of a code book, or whose scales are powers of two, are not
// measured against that. What ggml's own encoder leaves of normal values' energy is their bound: it
// minimises the same error. (F8_E4M3: rounding to four bits with any scale.)
struct Coarse {
  std::string_view name;
  double left;
};

const Coarse kCoarse[] = {
    {"IQ1_S", 0.2324},  {"IQ1_M", 0.2024}, {"IQ2_XXS", 0.1185},
    {"IQ2_XS", 0.0904}, {"IQ2_S", 0.0621}, {"IQ3_XXS", 0.0331},
    {"IQ3_S", 0.0186},  {"MXFP4", 0.0132}, {"F8_E4M3", 0.0005},
};

double nearest_level(double v, const Plain& plain) {
  if (std::isnan(v)) return 0.0;  // 0 / 0: a run of zeros
  if (plain.hi != 113) return std::clamp(std::nearbyint(v), double(plain.lo), double(plain.hi));
  return *std::ranges::min_element(kIq4Levels, {},
                                   [v](int8_t level) { return std::fabs(v - level); });
}

double plain_error(const Floats& x, const Plain& plain) {
  double sum = 0.0;
  for (size_t first = 0; first < x.size(); first += plain.len) {
    const auto begin = x.begin() + static_cast<ptrdiff_t>(first);
    const auto end = begin + static_cast<ptrdiff_t>(plain.len);
    double scale, min = 0.0;
    if (plain.has_min) {
      const auto [low, high] = std::minmax_element(begin, end);
      min = plain.min_at_most_zero ? std::min(double{*low}, 0.0) : double{*low};
      scale = (*high - min) / plain.hi;
    } else {
      scale = *std::ranges::max_element(begin, end, {}, [](float v) { return std::fabs(v); });
      scale /= plain.lo;
    }
    for (auto v = begin; v != end; ++v) {
      const double r = *v - min - scale * nearest_level((*v - min) / scale, plain);
      sum += r * r;
    }
  }
  return sum;
}

}  // namespace

TEST_CASE("any finite values encode to finite ones, no worse than zeros") {
  for (const FormatTraits& format : formats()) {
    for (const Kind& kind : kKinds) {
      CAPTURE(format.name);
      CAPTURE(kind.name);
      const Floats x = draw(kind, 3 * 256);
      const Floats y = decode(format, encode(format, x));
      CHECK(std::ranges::all_of(y, [](float v) { return std::isfinite(v); }));
      CHECK(error(x, y) <= energy(x) * (1 + 1e-6));
    }
  }
}

TEST_CASE("blocks encode independently of their neighbours, every time the same") {
  for (const FormatTraits& format : formats()) {
    CAPTURE(format.name);
    const Floats x = draw(kKinds[0], 3 * 256);
    const Bytes all = encode(format, x);
    CHECK(encode(format, x) == all);
    Bytes one_by_one(all.size());
    for (size_t i = 0; i < x.size() / format.block_len; ++i) {
      format.encode(&x[i * format.block_len], nullptr, &one_by_one[i * format.block_bytes], 1);
    }
    CHECK(one_by_one == all);
    format.encode(nullptr, nullptr, nullptr, 0);
    format.decode(nullptr, nullptr, 0);
  }
}

TEST_CASE("zeros and constants that f16 can say are exact") {
  for (const FormatTraits& format : formats()) {
    for (const float constant : {0.0f, 1.0f, -1.0f, 0.375f, -3.0f, 1024.0f, -0x1p-10f}) {
      CAPTURE(format.name);
      CAPTURE(constant);
      const Floats x(256, constant);
      CHECK(decode(format, encode(format, x)) == x);
    }
  }
}

TEST_CASE("the error is below that of plain rounding") {
  for (const FormatTraits& format : formats()) {
    const auto* plain = std::ranges::find(kPlain, format.name, &Plain::name);
    if (plain == std::end(kPlain)) continue;
    for (const Kind& kind : kKinds) {
      // Where the scales leave f16's range, full-precision ones are not the measure.
      if (kind.name != "normal" && kind.name != "heavy-tailed" && kind.name != "all negative" &&
          kind.name != "sparse") {
        continue;
      }
      CAPTURE(format.name);
      CAPTURE(kind.name);
      const Floats x = draw(kind, 32 * 256);
      CHECK(error(x, decode(format, encode(format, x))) <= plain_error(x, *plain));
    }
  }
}

TEST_CASE("coarse formats leave less than ggml's encoder does") {
  for (const Coarse& coarse : kCoarse) {
    CAPTURE(coarse.name);
    const FormatTraits& format = *find_format(coarse.name);
    const Floats x = draw(kKinds[0], 64 * 256);
    CHECK(error(x, decode(format, encode(format, x))) <= coarse.left * energy(x));
  }
}

TEST_CASE("every block format's error has a bound") {
  for (const FormatTraits& format : formats()) {
    CAPTURE(format.name);
    const bool has_bound =
        std::ranges::find(kPlain, format.name, &Plain::name) != std::end(kPlain) ||
        std::ranges::find(kCoarse, format.name, &Coarse::name) != std::end(kCoarse);
    CHECK(has_bound == (format.block_len > 1));
  }
}

TEST_CASE("16-bit floats encode to the nearest, and stop at their largest") {
  const Floats x = draw(kKinds[0], 256);
  for (const auto& [dtype, tolerance] :
       {std::pair{DType::kF32, 0.0f}, std::pair{DType::kF16, 0x1p-11f},
        std::pair{DType::kBF16, 0x1p-8f}}) {
    const FormatTraits& format = *find_format(dtype);
    const Floats y = decode(format, encode(format, x));
    for (size_t i = 0; i < x.size(); ++i) {
      CHECK(std::fabs(x[i] - y[i]) <= tolerance * std::fabs(x[i]) + 0x1p-25f * (tolerance > 0));
    }
  }
  const float huge = std::numeric_limits<float>::max();
  CHECK(decode(*find_format("F16"), encode(*find_format("F16"), {huge, -1e6f})) ==
        Floats{kF16Max, -kF16Max});
  const float bf16_max = bf16_to_f32(kBf16MaxBits);
  CHECK(decode(*find_format("BF16"), encode(*find_format("BF16"), {huge, -huge})) ==
        Floats{bf16_max, -bf16_max});
}

TEST_CASE("importance moves the error to where it matters less") {
  std::mt19937 random(3);
  for (const FormatTraits& format : formats()) {
    // A scale does not change how far floats are apart.
    if (format.block_len == 1 || format.dtype == DType::kF8_E4M3) continue;
    CAPTURE(format.name);
    const Floats x = draw(kKinds[0], 16 * 256);
    Floats weights(x.size());
    for (float& w : weights) w = std::exp(2.0f * normal(random));
    const Floats without = decode(format, encode(format, x));
    const Floats with = decode(format, encode(format, x, weights.data()));
    // MXFP4 has but a power of two to choose.
    const double limit = format.name == "MXFP4" ? 0.98 : 0.95;
    CHECK(error(x, with, weights.data()) < limit * error(x, without, weights.data()));

    // Equal weights, even none at all, are no weights.
    for (const float w : {7.0f, 0.0f}) {
      const Floats equal(x.size(), w);
      CHECK(encode(format, x, equal.data()) == encode(format, x));
    }
    // A block of which a part does not matter.
    std::fill(weights.begin(), weights.begin() + 128, 0.0f);
    const Floats half = decode(format, encode(format, x, weights.data()));
    CHECK(std::ranges::all_of(half, [](float v) { return std::isfinite(v); }));
  }
}

namespace {

using encoders::Encoders;

void search_with(const Encoders& e, const ScaledRule& rule, const float* x, const float* w,
                 size_t n, ScaledCodes* out) {
  e.scaled(rule, x, w, n, out);
}
void search_with(const Encoders& e, const AffineRule& rule, const float* x, const float* w,
                 size_t n, AffineCodes* out) {
  e.affine(rule, x, w, n, out);
}
void search_with(const Encoders& e, const SuperScaledRule& rule, const float* x, const float* w,
                 size_t n, SuperScaledCodes* out) {
  e.super_scaled(rule, x, w, n, out);
}
void search_with(const Encoders& e, const SuperAffineRule& rule, const float* x, const float* w,
                 size_t n, SuperAffineCodes* out) {
  e.super_affine(rule, x, w, n, out);
}

template <class Block>
Bytes encode_with(const Encoders& e, const Floats& x, const float* importance) {
  std::vector<typename decltype(Block::kRule)::Codes> codes(x.size() / Block::kLen);
  search_with(e, Block::kRule, x.data(), importance, codes.size(), codes.data());
  Bytes bytes(codes.size() * sizeof(Block));
  for (size_t i = 0; i < codes.size(); ++i) {
    Block block;
    pack_block(codes[i], block);
    std::memcpy(&bytes[i * sizeof(Block)], &block, sizeof(Block));
  }
  return bytes;
}

template <class Block>
void check_encoders_agree() {
  CAPTURE(sizeof(Block));
  for (const Kind& kind : kKinds) {
    CAPTURE(kind.name);
    // The last vector of blocks is not a full one.
    Floats x = draw(kind, 37 * 256);
    std::fill_n(x.begin() + 256, 256, x[0]);
    std::fill_n(x.begin() + 1024, 512, 0.0f);
    std::mt19937 random(5);
    Floats weights(x.size());
    for (float& w : weights) w = random() % 8 == 0 ? 0.0f : std::exp(4.0f * normal(random));
    for (const bool weighed : {false, true}) {
      const float* importance = weighed ? weights.data() : nullptr;
      const Bytes expected = encode_with<Block>(*encoders::available().back(), x, importance);
      for (const Encoders* each : encoders::available()) {
        CAPTURE(each->name);
        CHECK(encode_with<Block>(*each, x, importance) == expected);
      }
    }
  }
}

template <class... Blocks>
void check_all_encoders_agree() {
  (check_encoders_agree<Blocks>(), ...);
}

}  // namespace

TEST_CASE("all instruction sets encode to the same bytes") {
  REQUIRE(!encoders::available().empty());
  check_all_encoders_agree<BlockQ4_0, BlockQ4_1, BlockQ5_0, BlockQ5_1, BlockQ8_0, BlockQ2_K,
                           BlockQ3_K, BlockQ4_K, BlockQ5_K, BlockQ6_K, BlockIQ4_NL, BlockIQ4_XS>();
}
