#include <cmath>

#include "runtime/ops/op.h"

namespace minke {
namespace {

Result<TensorDesc> shape(const Attrs&, std::span<const TensorDesc> in) {
  if (in[1].dtype != DType::kF32 || in[1].shape != Shape{in[0].shape.cols()})
    return shape_error(Op::kRmsNorm, "the weight must be F32 of {} values, is {} {}",
                       in[0].shape.cols(), dtype_name(in[1].dtype), to_string(in[1].shape));
  return in[0];
}

void reference(const OpCall& call) {
  const auto& attrs = std::get<RmsNormAttrs>(call.attrs);
  const int n = call.in[0].cols();
  for (int r = 0; r < call.rows; ++r) {
    const ptrdiff_t at = static_cast<ptrdiff_t>(r) * n;
    rms_norm_row({call.in[0].f32() + at, static_cast<size_t>(n)}, call.in[1].f32(), attrs.eps,
                 call.out + at);
  }
}

}  // namespace

extern const OpDef kRmsNormOp;
const OpDef kRmsNormOp{"rms_norm", shape, reference};

}  // namespace minke
