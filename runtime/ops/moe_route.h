// Expert selection for one token; backends share it, since its cost is nothing.
#pragma once

#include <span>

#include "runtime/graph.h"

namespace minke {

/// logits (n_experts), scratch (n_experts); out (2 * top_k) as Graph::moe_route describes. The sums
/// run in index order in f32, so that every backend chooses alike.
void route_token(std::span<const float> logits, const MoeRouteAttrs& attrs,
                 std::span<float> scratch, std::span<float> out) noexcept;

}  // namespace minke
