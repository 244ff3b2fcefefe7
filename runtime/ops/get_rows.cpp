#include <algorithm>

#include "runtime/ops/op.h"

namespace minke {
namespace {

Result<TensorDesc> shape(const Attrs&, std::span<const TensorDesc> in) {
  if (in[0].shape.rank() != 2 || in[1].dtype != DType::kI32 || in[1].shape.rank() != 1)
    return shape_error(Op::kGetRows, "wants a matrix and a list of row numbers");
  return TensorDesc{DType::kF32, Shape{in[1].shape[0], in[0].shape[1]}};
}

void reference(const OpCall& call) {
  const OpInput& table = call.in[0];
  const size_t cols = static_cast<size_t>(table.cols());
  for (int i = 0; i < call.rows; ++i) {
    const std::vector<float> row = decode_row(table, call.in[1].i32()[i]);
    std::ranges::copy(row, call.out + static_cast<size_t>(i) * cols);
  }
}

}  // namespace

extern const OpDef kGetRowsOp;
const OpDef kGetRowsOp{"get_rows", shape, reference};

}  // namespace minke
