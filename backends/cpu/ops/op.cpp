#include "backends/cpu/ops/op.h"

#include <algorithm>

#include "backends/cpu/onednn.h"

namespace minke::cpu {

#define MINKE_OP(name) extern const CpuOp k##name##CpuOp;
#include "runtime/op_list.inc"
#undef MINKE_OP

const CpuOp& cpu_op(Op op) noexcept {
  static constexpr const CpuOp* kOps[] = {
#define MINKE_OP(name) &k##name##CpuOp,
#include "runtime/op_list.inc"
#undef MINKE_OP
  };
  return *kOps[static_cast<size_t>(op)];
}

void multiply(const MatmulArgs& args, const Worker& worker) noexcept {
  const KernelTable& kernels = worker.kernels();
  // The scalar kernels are the plain path: they stay free of other code.
  if (kernels.name != std::string_view("scalar") && onednn_wins(args))
    onednn_matmul(args, args.w_type == DType::kF16 ? kernels.f16_to_f32 : kernels.bf16_to_f32);
  else
    kernels.matmul(args);
}

int rows_per_task(int n_rows, int n_x) noexcept {
  constexpr int kPanel = 32;        // rows that matmul likes to take together
  constexpr int kFewRows = 8;       // up to here a task is bound by the bytes of its weights
  constexpr int kTasksWanted = 64;  // for one matrix, whatever the number of threads
  if (n_x > kFewRows) return kPanel;
  const int even = n_rows / kTasksWanted / kPanel * kPanel;
  return std::clamp(even, kPanel, 16 * kPanel);
}

}  // namespace minke::cpu
