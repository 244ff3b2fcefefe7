// The CPU backend: OpenMP threads over kernels of the best instruction set.
#pragma once

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

struct CpuOptions {
  int n_threads = 0;     ///< 0: one a core that this process may use.
  std::string isa = {};  ///< Empty: MINKE_ISA, or the best there is.
  cpu::MlaForm mla_form = cpu::MlaForm::kAuto;
};

/// Errors: kUsage (an unknown instruction set, a number of threads out of 0..1024).
Result<std::unique_ptr<Backend>> make_cpu_backend(const CpuOptions& options);

}  // namespace minke
