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

int rows_per_task(int n_rows, int n_x, int n_workers) noexcept {
  constexpr int kPanel = 32;  // rows that matmul likes to take together
  if (n_x > kFewRows) return kPanel;
  constexpr int kTasksPerWorker = 4;
  const int even = n_rows / (kTasksPerWorker * n_workers) / kPanel * kPanel;
  return std::clamp(even, kPanel, kMaxRowsPerTask);
}

}  // namespace minke::cpu
