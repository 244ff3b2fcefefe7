// Queries against a tile of cached rows; see kernels/latent.h.
#pragma once

#include "backends/cpu/kernels/latent.h"

namespace minke::cpu::MINKE_ISA_NS {

void attend_latent(const LatentQueries& queries, const LatentKeys& keys, int n_keys,
                   const LatentState& state, const LatentAhead& ahead) noexcept;

}  // namespace minke::cpu::MINKE_ISA_NS
