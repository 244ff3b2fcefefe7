#include <algorithm>

#include "backends/cpu/onednn.h"
#include "backends/cpu/ops/op.h"

namespace minke::cpu {
namespace {

/// Matrices with so few rows, as the routers', never go to oneDNN, whose sums are others: which
/// experts are chosen must not depend on how many rows a step has.
constexpr int kFewOutputs = 512;

bool wants_quantized(const Graph& graph, const Node& node) noexcept {
  return wants_quantized_rows(graph.info(node.inputs[1]).desc.dtype);
}

bool needs_rests(const MatmulAttrs& attrs, DType w) noexcept {
  return attrs.precision == Precision::kHigh && wants_rests(w);
}

bool node_needs_rests(const Graph& graph, const Node& node) noexcept {
  return needs_rests(std::get<MatmulAttrs>(node.attrs), graph.info(node.inputs[1]).desc.dtype);
}

void run_matmul(const OpRun& run, Worker& worker) noexcept {
  const Operand &x = run.in[0], &w = run.in[1];
  const int n_out = run.out.cols();
  const bool rests = needs_rests(run.attrs<MatmulAttrs>(), w.info->desc.dtype);
  MatmulArgs args{.w_type = w.info->desc.dtype,
                  .w = w.data,
                  .w_row_bytes = w.info->desc.row_bytes(),
                  .n_cols = w.cols(),
                  .x = x.f32(),
                  .x_stride = static_cast<size_t>(x.cols()),
                  .xq = &x.quantized,
                  .n_x = x.rows,
                  .y = run.out_row(0),
                  .y_stride = static_cast<size_t>(n_out),
                  .scratch = worker.scratch()};
  if (args.n_x == 0) return;
  run.observe(worker, {w.info, 0, args.x, args.x_stride, nullptr, args.n_x});
  // The rests lie behind the last row.
  if (rests) MINKE_CHECK(x.quantized.rest_from == x.rows, "{}", run.node->name);
  const auto* w_rows = static_cast<const std::byte*>(w.data);
  const int rows = rows_per_task(n_out, rests ? 2 * args.n_x : args.n_x, worker.n_workers());
  worker.parallel_for((n_out + rows - 1) / rows, [&](int task) {
    args.row_begin = task * rows;
    args.row_end = std::min(args.row_begin + rows, n_out);
    // The workers take turns, more or less.
    const int next = args.row_begin + rows * worker.n_workers();
    args.next_w = next < n_out ? w_rows + static_cast<size_t>(next) * args.w_row_bytes : nullptr;
    if (rests) {
      multiply_with_rests(args, worker);
    } else if (n_out <= kFewOutputs) {
      worker.kernels().matmul(args);
    } else {
      multiply(args, worker);
    }
  });
}

size_t worker_bytes(const Graph& graph, const Node& node) noexcept {
  const TensorDesc& w = graph.info(node.inputs[1]).desc;
  if (node_needs_rests(graph, node)) return rest_sums_bytes(graph.max_tokens());
  return wants_quantized_rows(w.dtype) ? 0 : onednn_scratch_bytes(static_cast<int>(w.shape.cols()));
}

}  // namespace

extern const CpuOp kMatmulCpuOp;
const CpuOp kMatmulCpuOp{.run = run_matmul,
                         .worker_bytes = worker_bytes,
                         .wants_quantized = wants_quantized,
                         .wants_rests = node_needs_rests};

}  // namespace minke::cpu
