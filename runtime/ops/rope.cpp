#include <algorithm>

#include "runtime/ops/op.h"

namespace minke {
namespace {

Result<TensorDesc> shape(const Attrs& attrs, std::span<const TensorDesc> in) {
  const auto& a = std::get<RopeAttrs>(attrs);
  if (in[0].shape.cols() != int64_t{a.n_heads} * a.head_dim ||
      in[1].shape.cols() != a.head_dim - a.offset)
    return shape_error(Op::kRope, "{} heads of {} from {} on do not fit {} and a table of {}",
                       a.n_heads, a.head_dim, a.offset, to_string(in[0].shape),
                       to_string(in[1].shape));
  return in[0];
}

void reference(const OpCall& call) {
  const auto& a = std::get<RopeAttrs>(call.attrs);
  for (int r = 0; r < call.rows; ++r) {
    const float* table = call.in[1].f32() + static_cast<ptrdiff_t>(r) * call.in[1].cols();
    for (int h = 0; h < a.n_heads; ++h) {
      const ptrdiff_t at = (static_cast<ptrdiff_t>(r) * a.n_heads + h) * a.head_dim;
      const float* x = call.in[0].f32() + at;
      std::copy_n(x, a.offset, call.out + at);
      rotate_pairs({x + a.offset, static_cast<size_t>(a.head_dim - a.offset)}, table,
                   call.out + at + a.offset);
    }
  }
}

}  // namespace

extern const OpDef kRopeOp;
const OpDef kRopeOp{"rope", shape, reference};

}  // namespace minke
