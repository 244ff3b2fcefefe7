#include "apps/estimate.h"

#include <cmath>

namespace minke::apps {

Estimate estimate_mean(std::span<const double> values) noexcept {
  if (values.empty()) return {};
  const auto n = static_cast<double>(values.size());
  double sum = 0, squares = 0;
  for (const double value : values) sum += value;
  const double mean = sum / n;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return {mean, values.size() < 2 ? 0 : std::sqrt(squares / n / (n - 1))};
}

Estimate exp_of(const Estimate& estimate) noexcept {
  const double value = std::exp(estimate.mean);
  return {value, value * estimate.error};
}

}  // namespace minke::apps
