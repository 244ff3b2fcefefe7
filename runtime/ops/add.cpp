#include "runtime/ops/op.h"

namespace minke {
namespace {

Result<TensorDesc> shape(const Attrs&, std::span<const TensorDesc> in) {
  if (in[0] != in[1])
    return shape_error(Op::kAdd, "{} and {} differ", to_string(in[0].shape),
                       to_string(in[1].shape));
  return in[0];
}

void reference(const OpCall& call) {
  const ptrdiff_t n = static_cast<ptrdiff_t>(call.rows) * call.in[0].cols();
  for (ptrdiff_t i = 0; i < n; ++i) call.out[i] = call.in[0].f32()[i] + call.in[1].f32()[i];
}

}  // namespace

extern const OpDef kAddOp;
const OpDef kAddOp{"add", shape, reference};

}  // namespace minke
