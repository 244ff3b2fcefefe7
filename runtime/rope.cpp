#include "runtime/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "runtime/result.h"

namespace minke {
namespace {

/// The pair (as a real number) that turns `rotations` times within the original context.
double pair_with_rotations(const RopeParams& p, double rotations) {
  return p.dim * std::log(p.original_ctx / (2 * std::numbers::pi * rotations)) /
         (2 * std::log(static_cast<double>(p.theta)));
}

}  // namespace

std::vector<float> rope_frequencies(const RopeParams& p) {
  MINKE_CHECK(p.dim > 0 && p.dim % 2 == 0, "dim {}", p.dim);
  const bool yarn = p.factor > 1.0f;
  MINKE_CHECK(!yarn || (p.theta > 1 && p.original_ctx > 0 && p.beta_fast > 0 && p.beta_slow > 0),
              "theta {}, original_ctx {}, beta_fast {}, beta_slow {}", p.theta, p.original_ctx,
              p.beta_fast, p.beta_slow);
  // Pairs below `low` turn fast and keep their frequency, pairs above `high` are stretched by the
  // factor, those between are blended (YaRN, arXiv 2309.00071, section 3.2).
  const double low = yarn ? std::max(std::floor(pair_with_rotations(p, p.beta_fast)), 0.0) : 0;
  const double high =
      yarn ? std::min(std::ceil(pair_with_rotations(p, p.beta_slow)), p.dim - 1.0) : 0;

  std::vector<float> frequencies;
  for (int i = 0; i < p.dim / 2; ++i) {
    const double extrapolated = std::pow(static_cast<double>(p.theta), -2.0 * i / p.dim);
    double frequency = extrapolated;
    if (yarn) {
      const double ramp = std::clamp((i - low) / std::max(high - low, 0.001), 0.0, 1.0);
      frequency = extrapolated / p.factor * ramp + extrapolated * (1 - ramp);
    }
    frequencies.push_back(static_cast<float>(frequency));
  }
  return frequencies;
}

}  // namespace minke
