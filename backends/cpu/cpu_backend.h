// The CPU backend: OpenMP threads over kernels of the best instruction set.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "runtime/backend.h"

namespace minke {

namespace cpu {
/// How attention reads the latent cache (DeepSeek-V2 report, 2.1.3 and appendix C).
enum class MlaForm {
  kAuto,      ///< The cheaper one, for each sequence of a step.
  kAbsorbed,  ///< Queries go to the latent space: few queries on a long cache.
  kRebuilt,   ///< Keys and values are rebuilt: many queries.
};
}  // namespace cpu

/// What one matrix of a weight is multiplied with in a step.
struct WeightInput {
  const ValueInfo* weight;
  int plane;            ///< Of a 3-D weight: which expert or head; else 0.
  const float* x;       ///< Rows of as many values as the weight has columns ...
  size_t stride;        ///< ... from one row to the next, in values.
  const int32_t* rows;  ///< The rows of x that count; null: the first n_rows.
  int n_rows;

  const float* row(int i) const noexcept {
    return x + static_cast<size_t>(rows != nullptr ? rows[i] : i) * stride;
  }
};

/// Called from the thread that runs the plan, while others go on; must not throw. Every weight that
/// multiplies activations is told once a step, and each plane that any token uses.
using WeightObserver = std::function<void(const WeightInput& input)>;

struct CpuOptions {
  int n_threads = 0;     ///< 0: one a core that this process may use.
  std::string isa = {};  ///< Empty: MINKE_ISA, or the best there is.
  cpu::MlaForm mla_form = cpu::MlaForm::kAuto;
  /// Empty: none. It sees attention's own weights (k_b, v_b) only in the absorbed form.
  WeightObserver observer = {};
};

/// Errors: kUsage (an unknown instruction set, a number of threads out of 0..1024), kMemory (the
/// system does not let so many threads start).
Result<std::unique_ptr<Backend>> make_cpu_backend(const CpuOptions& options);

}  // namespace minke
