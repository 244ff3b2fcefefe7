// Means with their uncertainty.
#pragma once

#include <span>

namespace minke::apps {

/// A mean and its standard error: sqrt(variance / (n - 1)), as llama.cpp tells it.
struct Estimate {
  double mean = 0;
  double error = 0;
};

/// Of independent values; the error is 0 of fewer than two.
Estimate estimate_mean(std::span<const double> values) noexcept;

/// exp of a mean, with the error carried along to the first order.
Estimate exp_of(const Estimate& estimate) noexcept;

}  // namespace minke::apps
