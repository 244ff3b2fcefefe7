// Cached rows and queries to integers; see kernels/latent.h.
#pragma once

#include "backends/cpu/kernels/latent.h"

namespace minke::cpu::MINKE_ISA_NS {

/// The keys may be the rows themselves, which must stay until they are used.
void pack_latent_keys(LatentRows type, const void* rows, int n_keys, LatentKeys& keys) noexcept;
void pack_latent_queries(const float* q, size_t q_stride, int n_rows, float scale,
                         const LatentQueries& queries) noexcept;

}  // namespace minke::cpu::MINKE_ISA_NS
