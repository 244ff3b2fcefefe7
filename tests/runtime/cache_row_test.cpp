#include "runtime/cache_row.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

using namespace minke;

namespace {

constexpr int kLatent = 512, kRotated = 64;  // as all models of the family have them

std::vector<float> round_trip(const CacheRow& row, const std::vector<float>& values) {
  std::vector<std::byte> bytes(row.n_bytes());
  std::vector<float> back(values.size());
  row.encode(values.data(), bytes.data());
  row.decode(bytes.data(), back.data());
  return back;
}

std::vector<float> random_row(size_t n) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  std::vector<float> values(n);
  for (float& v : values) v = normal(random);
  return values;
}

/// Root of the mean squared error, of values of variance 1.
double error_of(const CacheRow& row, size_t begin, size_t end) {
  const auto values = random_row(row.n_values()), back = round_trip(row, values);
  double sum = 0;
  for (size_t i = begin; i < end; ++i) sum += std::pow(double{values[i]} - double{back[i]}, 2);
  return std::sqrt(sum / static_cast<double>(end - begin));
}

}  // namespace

TEST_CASE("types of the cache are found by name") {
  CHECK(cache_types().size() == 8);
  for (const CacheType type : cache_types()) CHECK(find_cache_type(cache_type_name(type)) == type);
  CHECK(find_cache_type("Q8_0") == CacheType::kQ8_0);
  for (const char* name : {"", "q", "q4_0", "q4_k", "q8_0 ", "f16,f32"})
    CHECK(find_cache_type(name) == std::nullopt);
}

TEST_CASE("bytes of a row, and how near it is to what was stored") {
  struct Expected {
    CacheType type;
    size_t latent_bytes, rotated_bytes;
    double latent_error, rotated_error;
  };
  for (const Expected& e : {Expected{CacheType::kF32, 2048, 256, 0, 0},
                            {CacheType::kF16, 1024, 128, 3e-4, 3e-4},
                            {CacheType::kBF16, 1024, 128, 2e-3, 2e-3},
                            {CacheType::kQ8, 4 + 512, 4 + 128, 9e-3, 3e-4},
                            {CacheType::kQ8_0, 16 * 34, 2 * 34, 6e-3, 6e-3},
                            {CacheType::kFp8, 8 * 68, 2 * 34, 3e-2, 6e-3},
                            {CacheType::kQ6, 16 * 22, 2 * 34, 5e-2, 6e-3},
                            {CacheType::kQ4, 16 * 18, 2 * 34, 1e-1, 6e-3}}) {
    CAPTURE(cache_type_name(e.type));
    const CacheRow row(e.type, kLatent, kRotated);
    CHECK(row.n_values() == 576);
    CHECK(row.parts()[0].n_bytes == e.latent_bytes);
    CHECK(row.parts()[1].n_bytes == e.rotated_bytes);
    CHECK(row.n_bytes() == e.latent_bytes + e.rotated_bytes);
    CHECK(error_of(row, 0, kLatent) <= e.latent_error);
    CHECK(error_of(row, kLatent, kLatent + kRotated) <= e.rotated_error);
  }
}

TEST_CASE("parts that do not fill their last block") {
  for (const CacheType type : cache_types()) {
    CAPTURE(cache_type_name(type));
    const CacheRow row(type, 33, 7);
    CHECK(row.n_values() == 40);
    CHECK(error_of(row, 0, 33) < 0.2);
    CHECK(error_of(row, 33, 40) < 0.02);
  }
}

TEST_CASE("zeros and the smallest numbers stay small; large ones keep to their block") {
  for (const CacheType type : cache_types()) {
    CAPTURE(cache_type_name(type));
    const CacheRow row(type, kLatent, kRotated);
    const std::vector<float> zeros(row.n_values());
    CHECK(round_trip(row, zeros) == zeros);
    const std::vector<float> denormals(row.n_values(), 1e-41f);
    for (const float x : round_trip(row, denormals)) CHECK(std::fabs(x) <= 1e-7f);

    auto values = random_row(row.n_values());
    const auto usual = round_trip(row, values);
    values[70] = 1e4f;
    values[kLatent + 40] = -1e4f;
    const auto back = round_trip(row, values);
    CHECK(back[70] == doctest::Approx(1e4).epsilon(0.05));
    CHECK(back[kLatent + 40] == doctest::Approx(-1e4).epsilon(0.005));
    for (size_t i = 0; i < back.size(); ++i) {
      // Of 32 or 64 values; or all share a scale.
      const bool in_block = (i >= 64 && i < 128) || i >= kLatent + 32 || row.holds_integers();
      if (!in_block) CHECK(back[i] == usual[i]);
    }
  }
}

TEST_CASE("a row that is not all numbers within range becomes NaN, wherever the fault stands") {
  for (const CacheType type : cache_types()) {
    CAPTURE(cache_type_name(type));
    const CacheRow row(type, 40, 24);
    const bool wide = type == CacheType::kF32 || type == CacheType::kBF16 || type == CacheType::kQ8;
    CHECK(row.range() >= (wide ? 3.38e38f : 65504.0f));
    CHECK(row.range() <= (wide ? std::numeric_limits<float>::max() : 65504.0f));
    for (const size_t at : {size_t{0}, size_t{39}, size_t{40}, size_t{63}}) {
      auto values = random_row(row.n_values());
      values[at] = -65504.0f;
      CHECK(row.holds(values.data()));
      CHECK(round_trip(row, values)[at] == doctest::Approx(-65504).epsilon(0.05));
      for (const float bad : {INFINITY, -INFINITY, std::numeric_limits<float>::quiet_NaN(),
                              65505.0f, -std::numeric_limits<float>::max()}) {
        CAPTURE(bad);
        values[at] = bad;
        const auto back = round_trip(row, values);
        if (std::fabs(bad) <= row.range())
          CHECK(back[at] == doctest::Approx(bad).epsilon(0.01));
        else
          CHECK(std::ranges::all_of(back, [](float x) { return std::isnan(x); }));
      }
    }
  }
}
