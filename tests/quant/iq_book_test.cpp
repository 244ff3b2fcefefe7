#include "quant/iq_book.h"

#include <doctest/doctest.h>

#include <cmath>
#include <random>

using namespace minke;

namespace {

double cost(const float* x, const float* w, float scale, const float* q, size_t n) {
  double sum = 0;
  for (size_t i = 0; i < n; ++i) {
    const double r = double{x[i]} - double{scale} * double{q[i]};
    sum += w[i] * r * r;
  }
  return sum;
}

/// Compares the search with a look at every word of the book. `shift` is added to levels.
template <class Shape, class Book>
void check_search(const Book& book, const uint8_t (&bytes)[Shape::kLevels], float shift) {
  constexpr size_t kN = Shape::kValues;
  float levels_of_bytes[Shape::kLevels];
  for (size_t i = 0; i < Shape::kLevels; ++i) {
    levels_of_bytes[i] = static_cast<float>(bytes[i]) + shift;
  }
  const BookIndex<Shape> index(book, bytes);
  const PointLevels<Shape> levels(levels_of_bytes);
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  int n_in_book = 0;
  for (int turn = 0; turn < 500; ++turn) {
    alignas(16) float x[kN], w[kN], q[kN];
    const float top = levels_of_bytes[Shape::kLevels - 1];
    for (float& v : x) v = top / 2 * (shift < 0 ? normal(random) : std::fabs(normal(random)));
    for (float& v : w) v = std::exp(2 * normal(random));
    const float scale = std::exp(0.3f * normal(random));
    F4 x4[kN / 4], w4[kN / 4], units[kN / 4], q4[kN / 4];
    for (size_t i = 0; i < kN / 4; ++i) {
      x4[i] = load4(x + 4 * i);
      w4[i] = load4(w + 4 * i);
      units[i] = x4[i] * splat4(1 / scale);
    }
    const Point nearest = levels.nearest_point(units);
    n_in_book += index.has(nearest);
    const Point found = index.search(x4, w4, scale, levels, nearest);
    REQUIRE(index.has(found));
    if (index.has(nearest)) CHECK(index.code(found) == index.code(nearest));
    levels.values(found, q4);
    for (size_t i = 0; i < kN / 4; ++i) store4(q + 4 * i, q4[i]);
    const double of_found = cost(x, w, scale, q, kN);

    double least = INFINITY;
    for (size_t code = 0; code < Book::kSize; ++code) {
      for (size_t i = 0; i < kN; ++i) {
        q[i] = static_cast<float>(book.word[code] >> 8 * i & 255) + shift;
      }
      const double of_code = cost(x, w, scale, q, kN);
      if (code == index.code(found)) CHECK(of_code == of_found);
      least = std::min(least, of_code);
    }
    CHECK(of_found <= least * (1 + 1e-5));
  }
  // Both ways were taken.
  CHECK(n_in_book > 10);
  CHECK(n_in_book < 490);
}

}  // namespace

TEST_CASE("the search finds the best point of every code book") {
  check_search<EightOfThree>(kIQ1Book, {0, 8, 16}, -7);
  check_search<EightOfThree>(kIQ1Book, {0, 8, 16}, -9);
  check_search<EightOfThree>(kIQ2_XXSBook, {8, 25, 43}, 0);
  check_search<EightOfThree>(kIQ2_XSBook, {8, 25, 43}, 0);
  check_search<EightOfThree>(kIQ2_SBook, {8, 25, 43}, 0);
  check_search<FourOfEight>(kIQ3_XXSBook, {4, 12, 20, 28, 36, 44, 52, 62}, 0);
  check_search<FourOfEight>(kIQ3_SBook, {1, 3, 5, 7, 9, 11, 13, 15}, 0);
}
