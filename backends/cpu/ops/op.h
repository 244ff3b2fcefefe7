// What the plan hands to the ops of the CPU backend. One op, one file of this folder.
#pragma once

#include <span>

#include "backends/cpu/cpu_backend.h"
#include "backends/cpu/team.h"
#include "runtime/graph.h"
#include "runtime/step.h"

namespace minke::cpu {

/// A value as an op sees it in one step.
struct Operand {
  const ValueInfo* info = nullptr;
  const void* data = nullptr;
  QuantizedRows quantized{};  ///< q is null unless the plan quantizes this value.
  int rows = 0;               ///< In this step.

  int cols() const noexcept { return static_cast<int>(info->desc.shape.cols()); }
  const float* f32() const noexcept { return static_cast<const float*>(data); }
  const int32_t* i32() const noexcept { return static_cast<const int32_t*>(data); }
  const float* row(int r) const noexcept { return f32() + static_cast<ptrdiff_t>(r) * cols(); }
};

/// One node in one step.
struct OpRun {
  const Node* node;
  std::span<const Operand> in;
  Operand out;
  const Step* step;
  std::byte* scratch;  ///< Shared by the workers, of the size that scratch_bytes() asked for.
  MlaForm mla_form;
  const WeightObserver* observer;  ///< Null: none.

  float* out_row(int r) const noexcept {
    return static_cast<float*>(const_cast<void*>(out.data)) +
           static_cast<ptrdiff_t>(r) * out.cols();
  }
  template <class T>
  const T& attrs() const noexcept {
    return std::get<T>(node->attrs);
  }
  /// Tells the observer, if there is one, what a weight is multiplied with. One worker tells.
  void observe(const Worker& worker, const WeightInput& input) const noexcept {
    if (observer != nullptr && worker.index() == 0 && input.n_rows > 0) (*observer)(input);
  }
  /// Quantizes row r of the output if a later node wants it so.
  void quantize_row(int r, Worker& worker) const noexcept {
    if (out.quantized.q != nullptr)
      worker.kernels().quantize_rows(out_row(r), 0, 1, out.quantized, r);
  }
};

struct CpuOp {
  void (*run)(const OpRun& run, Worker& worker) noexcept;
  /// Bytes that all workers share while the node runs; null: none.
  size_t (*scratch_bytes)(const Graph& graph, const Node& node) noexcept = nullptr;
  /// Bytes of each worker's own, beyond kMatmulScratchBytes; null: none.
  size_t (*worker_bytes)(const Graph& graph, const Node& node) noexcept = nullptr;
  /// True if the node multiplies quantized rows of its first input; null: never.
  bool (*wants_quantized)(const Graph& graph, const Node& node) noexcept = nullptr;
  /// True if it wants their rests, too; null: never.
  bool (*wants_rests)(const Graph& graph, const Node& node) noexcept = nullptr;
  /// True if run() quantizes its own output rows (quantize_row) where that is wanted.
  bool quantizes_output = false;
};

const CpuOp& cpu_op(Op op) noexcept;

/// The first row of plane `plane` of a weight: a 3-D weight is planes of matrices.
inline const std::byte* weight_plane(const Operand& weight, int64_t plane) noexcept {
  const Shape& shape = weight.info->desc.shape;
  const int64_t rows = shape.rank() == 3 ? shape[1] : 0;
  return static_cast<const std::byte*>(weight.data) +
         static_cast<size_t>(plane * rows) * weight.info->desc.row_bytes();
}

/// One thread's share of a product, by our kernel or by oneDNN. args.scratch is worker.scratch().
void multiply(const MatmulArgs& args, const Worker& worker) noexcept;

/// The same with rests: args.n_x rows of x are followed by their rests (in x_rows, where that is
/// given), and y gets the sums of both products. No y_rows. Uses rest_sums_bytes(args.n_x) of the
/// worker's scratch, behind matmul's.
void multiply_with_rests(const MatmulArgs& args, const Worker& worker) noexcept;
size_t rest_sums_bytes(int n_x) noexcept;

/// Weight rows a task takes: enough tasks for the workers to even out, few enough to be cheap. Up
/// to kFewRows activation rows a task is bound by the bytes of its weights, and long runs read
/// fastest.
inline constexpr int kFewRows = 8;
inline constexpr int kMaxRowsPerTask = 512;
int rows_per_task(int n_rows, int n_x, int n_workers) noexcept;

inline constexpr size_t aligned64(size_t bytes) noexcept { return (bytes + 63) / 64 * 64; }

/// Hands out pieces of a scratch area, each 64-byte aligned. Without an area it counts alone: all
/// pieces are null.
class Carver {
 public:
  explicit Carver(std::byte* base) noexcept : base_(base) {}
  float* floats(size_t n) noexcept { return reinterpret_cast<float*>(bytes(n * sizeof(float))); }
  int32_t* ints(size_t n) noexcept {
    return reinterpret_cast<int32_t*>(bytes(n * sizeof(int32_t)));
  }
  std::byte* bytes(size_t n) noexcept {
    std::byte* p = base_ == nullptr ? nullptr : base_ + used_;
    used_ += aligned64(n);
    return p;
  }
  size_t used() const noexcept { return used_; }

 private:
  std::byte* base_;
  size_t used_ = 0;
};

}  // namespace minke::cpu
