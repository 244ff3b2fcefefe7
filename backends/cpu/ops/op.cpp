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

namespace {

constexpr int kPanelRows = 32;  // that matmul likes to take together

/// Weight rows whose products with n_x rows and rests are kept at a time.
int rest_rows(int n_x) noexcept { return n_x > kFewRows ? kPanelRows : kMaxRowsPerTask; }

}  // namespace

size_t rest_sums_bytes(int n_x) noexcept {
  const auto n = static_cast<size_t>(2 * n_x), few = static_cast<size_t>(kFewRows);
  return sizeof(float) * std::max(n * static_cast<size_t>(rest_rows(kFewRows + 1)),
                                  few * static_cast<size_t>(rest_rows(kFewRows)));
}

void multiply_with_rests(const MatmulArgs& args, const Worker& worker) noexcept {
  auto* sums = reinterpret_cast<float*>(worker.scratch() + kMatmulScratchBytes);
  const int n = args.n_x, most = rest_rows(2 * n);
  const auto* w = static_cast<const std::byte*>(args.w);
  for (int begin = args.row_begin; begin < args.row_end; begin += most) {
    MatmulArgs part = args;
    part.n_x = 2 * n;
    part.row_begin = begin;
    part.row_end = std::min(begin + most, args.row_end);
    if (part.row_end < args.row_end)
      part.next_w = w + static_cast<size_t>(part.row_end) * args.w_row_bytes;
    const int rows = part.row_end - begin;
    part.y = sums - begin;
    part.y_stride = static_cast<size_t>(rows);
    multiply(part, worker);
    for (int i = 0; i < n; ++i) {
      const float* sum = sums + static_cast<ptrdiff_t>(i) * rows;
      worker.kernels().add_f32(sum, sum + static_cast<ptrdiff_t>(n) * rows,
                               args.y + static_cast<size_t>(i) * args.y_stride + begin, rows);
    }
  }
}

int rows_per_task(int n_rows, int n_x, int n_workers) noexcept {
  if (n_x > kFewRows) return kPanelRows;
  constexpr int kTasksPerWorker = 4;
  const int even = n_rows / (kTasksPerWorker * n_workers) / kPanelRows * kPanelRows;
  return std::clamp(even, kPanelRows, kMaxRowsPerTask);
}

}  // namespace minke::cpu
