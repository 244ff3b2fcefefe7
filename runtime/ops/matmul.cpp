#include "runtime/ops/op.h"

namespace minke {
namespace {

Result<TensorDesc> shape(const Attrs&, std::span<const TensorDesc> in) {
  const Shape &x = in[0].shape, &w = in[1].shape;
  if (x.rank() != 2 || w.rank() != 2 || x[1] != w[1] || in[0].dtype != DType::kF32)
    return shape_error(Op::kMatmul, "rows of {} do not fit rows of {}", to_string(x), to_string(w));
  return TensorDesc{DType::kF32, Shape{x[0], w[0]}};
}

void reference(const OpCall& call) {
  const int n = call.in[0].cols();
  const int n_out = static_cast<int>(call.in[1].info->desc.shape[0]);
  for (int o = 0; o < n_out; ++o) {
    const std::vector<float> w = decode_row(call.in[1], o);
    for (int r = 0; r < call.rows; ++r)
      call.out[static_cast<ptrdiff_t>(r) * n_out + o] =
          static_cast<float>(dot(w, call.in[0].f32() + static_cast<ptrdiff_t>(r) * n));
  }
}

}  // namespace

extern const OpDef kMatmulOp;
const OpDef kMatmulOp{"matmul", shape, reference};

}  // namespace minke
