// How an op is defined: a shape rule and a scalar reference. One op, one file of this folder.
#pragma once

#include <span>
#include <vector>

#include "runtime/graph.h"
#include "runtime/step.h"

namespace minke {

/// One input of a running op: rows is the actual number for this step.
struct OpInput {
  const ValueInfo* info;
  const void* data;
  int rows;

  int cols() const noexcept { return static_cast<int>(info->desc.shape.cols()); }
  const float* f32() const noexcept { return static_cast<const float*>(data); }
  const int32_t* i32() const noexcept { return static_cast<const int32_t*>(data); }
};

struct OpCall {
  const Attrs& attrs;
  std::span<const OpInput> in;
  float* out;
  int rows;  ///< Rows of the output.
  const Step& step;
};

struct OpDef {
  std::string_view name;
  /// Shape of the output; the first dimension of temps is their largest number of rows.
  Result<TensorDesc> (*shape)(const Attrs& attrs, std::span<const TensorDesc> in);
  /// Straightforward code in f32 with f64 sums: what every backend is compared with.
  void (*reference)(const OpCall& call);
};

const OpDef& op_def(Op op) noexcept;

/// Decodes a row of any format to f32. row_index counts rows of the whole tensor.
std::vector<float> decode_row(const OpInput& weight, int64_t row_index);

// What several references share; all sums in f64.
template <class T>
double dot(const std::vector<float>& w, const T* x) noexcept {
  double sum = 0;
  for (size_t i = 0; i < w.size(); ++i) sum += static_cast<double>(w[i]) * x[i];
  return sum;
}
double silu(double x) noexcept;
void rms_norm_row(std::span<const float> x, const float* weight, float eps, float* out) noexcept;
/// Turns pairs (2i, 2i+1) of x by the (cos, sin) pairs of `table`.
void rotate_pairs(std::span<const float> x, const float* table, float* out) noexcept;

/// kShape error of the form "matmul: reason".
template <class... Args>
tl::unexpected<Error> shape_error(Op op, fmt::format_string<Args...> format, Args&&... args) {
  return fail(Errc::kShape, "{}: {}", op_name(op),
              fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace minke
