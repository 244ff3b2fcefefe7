#include "runtime/rope.h"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

using namespace minke;

TEST_CASE("rope: plain frequencies are powers of theta") {
  const auto f = rope_frequencies({.dim = 8, .theta = 100.0f});
  REQUIRE(f.size() == 4);
  CHECK(f[0] == 1.0f);
  CHECK(f[1] == doctest::Approx(std::pow(100.0, -0.25)));
  CHECK(f[3] == doctest::Approx(std::pow(100.0, -0.75)));
}

TEST_CASE("rope: YaRN as in the family's files") {
  const auto f = rope_frequencies({.dim = 64,
                                   .theta = 10000.0f,
                                   .factor = 40.0f,
                                   .original_ctx = 4096,
                                   .beta_fast = 32.0f,
                                   .beta_slow = 1.0f});
  REQUIRE(f.size() == 32);
  // c(32) = 64 ln(4096 / 64 pi) / (2 ln 10000) = 10.47, c(1) = 22.51: low 10, high 23.
  const auto plain = [](int i) { return std::pow(10000.0, -2.0 * i / 64); };
  CHECK(f[10] == doctest::Approx(plain(10)).epsilon(1e-6));
  CHECK(f[11] ==
        doctest::Approx(plain(11) * (12.0 / 13) + plain(11) / 40 * (1.0 / 13)).epsilon(1e-6));
  CHECK(f[22] ==
        doctest::Approx(plain(22) * (1.0 / 13) + plain(22) / 40 * (12.0 / 13)).epsilon(1e-6));
  CHECK(f[23] == doctest::Approx(plain(23) / 40).epsilon(1e-6));
  CHECK(f[31] == doctest::Approx(plain(31) / 40).epsilon(1e-6));
}

TEST_CASE("rope: a context too short for any fast pair blends from the first") {
  const auto f = rope_frequencies(
      {.dim = 4, .theta = 10000.0f, .factor = 4.0f, .original_ctx = 8, .beta_fast = 32.0f});
  // c(32) < 0, so low is 0; c(1) = 0.105, so high is 1.
  CHECK(f[0] == 1.0f);
  CHECK(f[1] == doctest::Approx(0.01 / 4));
}
