#include <cmath>

#include "runtime/ops/op.h"

namespace minke {
namespace {

Result<TensorDesc> shape(const Attrs& attrs, std::span<const TensorDesc> in) {
  const auto& frequencies = std::get<RopeTableAttrs>(attrs).frequencies;
  if (in[0].dtype != DType::kI32 || frequencies.empty())
    return shape_error(Op::kRopeTable, "wants positions and at least one frequency");
  return TensorDesc{DType::kF32,
                    Shape{in[0].shape[0], 2 * static_cast<int64_t>(frequencies.size())}};
}

void reference(const OpCall& call) {
  const auto& frequencies = std::get<RopeTableAttrs>(call.attrs).frequencies;
  float* out = call.out;
  for (int r = 0; r < call.rows; ++r) {
    const double position = call.in[0].i32()[r];
    for (const float frequency : frequencies) {
      const double angle = position * static_cast<double>(frequency);
      *out++ = static_cast<float>(std::cos(angle));
      *out++ = static_cast<float>(std::sin(angle));
    }
  }
}

}  // namespace

extern const OpDef kRopeTableOp;
const OpDef kRopeTableOp{"rope_table", shape, reference};

}  // namespace minke
