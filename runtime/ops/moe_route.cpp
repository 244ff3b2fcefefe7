#include "runtime/ops/moe_route.h"

#include <algorithm>
#include <cmath>

#include "runtime/ops/op.h"

namespace minke {
namespace {

constexpr float kTaken = -1.0f;  // below every softmax score

/// Marks the experts of all but the best groups as taken. A group's score is its best expert's.
void drop_weak_groups(std::span<float> scores, const MoeRouteAttrs& a) noexcept {
  const size_t n_groups = static_cast<size_t>(a.n_groups), size = scores.size() / n_groups;
  const auto group_score = [&](size_t g) {
    const std::span<float> group = scores.subspan(g * size, size);
    return *std::max_element(group.begin(), group.end());
  };
  for (int drop = a.n_groups - a.n_groups_used; drop > 0; --drop) {
    // The worst group that is still in; of equals, the last one goes.
    size_t worst = n_groups;
    for (size_t g = 0; g < n_groups; ++g) {
      if (group_score(g) == kTaken) continue;
      if (worst == n_groups || group_score(g) <= group_score(worst)) worst = g;
    }
    for (float& score : scores.subspan(worst * size, size)) score = kTaken;
  }
}

Result<TensorDesc> shape(const Attrs& attrs, std::span<const TensorDesc> in) {
  const auto& a = std::get<MoeRouteAttrs>(attrs);
  const int64_t n = in[0].shape.cols();
  if (a.n_groups < 1 || n % a.n_groups != 0 || a.n_groups_used < 1 ||
      a.n_groups_used > a.n_groups || a.top_k < 1 || a.top_k > n / a.n_groups * a.n_groups_used)
    return shape_error(Op::kMoeRoute, "{} of {} experts in {} of {} groups is impossible", a.top_k,
                       n, a.n_groups_used, a.n_groups);
  return TensorDesc{DType::kF32, Shape{in[0].shape[0], 2 * int64_t{a.top_k}}};
}

void reference(const OpCall& call) {
  const auto& a = std::get<MoeRouteAttrs>(call.attrs);
  const size_t n = static_cast<size_t>(call.in[0].cols()), k = static_cast<size_t>(a.top_k);
  std::vector<float> scratch(n);
  for (size_t r = 0; r < static_cast<size_t>(call.rows); ++r)
    route_token({call.in[0].f32() + r * n, n}, a, scratch, {call.out + r * 2 * k, 2 * k});
}

}  // namespace

void route_token(std::span<const float> logits, const MoeRouteAttrs& attrs,
                 std::span<float> scratch, std::span<float> out) noexcept {
  const float largest = *std::max_element(logits.begin(), logits.end());
  float sum = 0;
  for (size_t i = 0; i < logits.size(); ++i) sum += scratch[i] = std::exp(logits[i] - largest);
  const size_t k = static_cast<size_t>(attrs.top_k);
  if (!std::isfinite(sum)) {
    // No order to choose by: different experts all the same, since callers count on that.
    for (size_t i = 0; i < k; ++i) {
      out[i] = static_cast<float>(i);
      out[k + i] = sum;
    }
    return;
  }
  for (float& score : scratch) score /= sum;
  if (attrs.n_groups > 1) drop_weak_groups(scratch, attrs);

  float chosen_sum = 0;
  for (size_t i = 0; i < k; ++i) {
    const auto best = std::max_element(scratch.begin(), scratch.end());
    out[i] = static_cast<float>(best - scratch.begin());
    out[k + i] = *best;
    chosen_sum += *best;
    *best = kTaken;
  }
  const float factor = attrs.normalize ? attrs.scale / (chosen_sum + 1e-20f) : attrs.scale;
  for (size_t i = 0; i < k; ++i) out[k + i] *= factor;
}

extern const OpDef kMoeRouteOp;
const OpDef kMoeRouteOp{"moe_route", shape, reference};

}  // namespace minke
