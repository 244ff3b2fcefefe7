#include "runtime/ops/op.h"

#include <cmath>

namespace minke {

#define MINKE_OP(name) extern const OpDef k##name##Op;
#include "runtime/op_list.inc"
#undef MINKE_OP

const OpDef& op_def(Op op) noexcept {
  static constexpr const OpDef* kOps[] = {
#define MINKE_OP(name) &k##name##Op,
#include "runtime/op_list.inc"
#undef MINKE_OP
  };
  return *kOps[static_cast<size_t>(op)];
}

std::string_view op_name(Op op) noexcept { return op_def(op).name; }

std::vector<float> decode_row(const OpInput& weight, int64_t row_index) {
  const TensorDesc& desc = weight.info->desc;
  std::vector<float> row(static_cast<size_t>(desc.shape.cols()));
  const FormatTraits* format = find_format(desc.dtype);
  const auto* bytes = static_cast<const std::byte*>(weight.data);
  format->decode(bytes + static_cast<size_t>(row_index) * desc.row_bytes(), row.data(),
                 row.size() / format->block_len);
  return row;
}

double silu(double x) noexcept { return x / (1.0 + std::exp(-x)); }

void rms_norm_row(std::span<const float> x, const float* weight, float eps, float* out) noexcept {
  double sum = 0;
  for (const float v : x) sum += static_cast<double>(v) * v;
  const double inverse =
      1.0 / std::sqrt(sum / static_cast<double>(x.size()) + static_cast<double>(eps));
  for (size_t i = 0; i < x.size(); ++i) out[i] = static_cast<float>(x[i] * inverse) * weight[i];
}

void rotate_pairs(std::span<const float> x, const float* table, float* out) noexcept {
  for (size_t i = 0; i + 1 < x.size(); i += 2) {
    const float cosine = table[i], sine = table[i + 1], x0 = x[i], x1 = x[i + 1];
    out[i] = x0 * cosine - x1 * sine;
    out[i + 1] = x0 * sine + x1 * cosine;
  }
}

}  // namespace minke
