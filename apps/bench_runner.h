// Times one case of `minke bench`.
#pragma once

#include <functional>
#include <vector>

#include "apps/bench_test.h"
#include "models/model.h"
#include "runtime/backend.h"

namespace minke::apps {

/// Runs random tokens, so that neither the tokenizer nor a sampler is in the time; a warm-up runs
/// before, and what a depth needs is read once. Gives the seconds of each repetition. `progress` is
/// called before each. Errors: those of Runner.
Result<std::vector<double>> time_case(const Model& model, Backend& backend,
                                      const BenchCase& bench_case, int repetitions,
                                      const std::function<void(int)>& progress);

}  // namespace minke::apps
