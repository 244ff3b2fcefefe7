#include "runtime/ops/op.h"

namespace minke {
namespace {

Result<TensorDesc> shape(const Attrs& attrs, std::span<const TensorDesc> in) {
  const Shape &x = in[0].shape, &gate = in[2].shape, &up = in[3].shape, &down = in[4].shape;
  if (gate.rank() != 3 || gate != up || down != Shape{gate[0], gate[2], gate[1]} ||
      x.cols() != gate[2] || in[1].shape.cols() != 2 * std::get<MoeFfnAttrs>(attrs).top_k)
    return shape_error(Op::kMoeFfn, "x {}, gate {}, up {} and down {} do not fit", to_string(x),
                       to_string(gate), to_string(up), to_string(down));
  return in[0];
}

void reference(const OpCall& call) {
  const int k = std::get<MoeFfnAttrs>(call.attrs).top_k;
  const Shape& gate_shape = call.in[2].info->desc.shape;
  const int64_t ff = gate_shape[1], hidden = gate_shape[2];
  std::vector<float> h(static_cast<size_t>(ff));
  for (int r = 0; r < call.rows; ++r) {
    const float* x = call.in[0].f32() + r * hidden;
    const float* route = call.in[1].f32() + static_cast<ptrdiff_t>(r) * 2 * k;
    std::vector<double> sum(static_cast<size_t>(hidden));
    for (int i = 0; i < k; ++i) {
      const int64_t expert = static_cast<int64_t>(route[i]);
      for (int64_t f = 0; f < ff; ++f)
        h[static_cast<size_t>(f)] =
            static_cast<float>(silu(dot(decode_row(call.in[2], expert * ff + f), x)) *
                               dot(decode_row(call.in[3], expert * ff + f), x));
      for (int64_t o = 0; o < hidden; ++o)
        sum[static_cast<size_t>(o)] += static_cast<double>(route[k + i]) *
                                       dot(decode_row(call.in[4], expert * hidden + o), h.data());
    }
    for (int64_t o = 0; o < hidden; ++o)
      call.out[r * hidden + o] = static_cast<float>(sum[static_cast<size_t>(o)]);
  }
}

}  // namespace

extern const OpDef kMoeFfnOp;
const OpDef kMoeFfnOp{"moe_ffn", shape, reference};

}  // namespace minke
