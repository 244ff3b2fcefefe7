// What the two forms of latent attention share.
#pragma once

#include "backends/cpu/ops/op.h"
#include "runtime/latent_cache.h"

namespace minke::cpu {

/// Dimensions of one attention node; `latent` is a cached row: kv_lora_rank + rope values.
struct MlaDims {
  int n_heads, nope, rope, v, rank, layer;
  float scale;

  explicit MlaDims(const MlaAttrs& a) noexcept
      : n_heads(a.n_heads),
        nope(a.qk_nope_dim),
        rope(a.qk_rope_dim),
        v(a.v_dim),
        rank(a.kv_lora_rank),
        layer(a.layer),
        scale(a.scale) {}
  int qk() const noexcept { return nope + rope; }
  int latent() const noexcept { return rank + rope; }
};

/// Decodes cached rows [position, position + n) to f32, (n, latent). position is a multiple of the
/// cache's block.
void load_latent(const KernelTable& kernels, LatentCache& cache, const SequenceSlice& slice,
                 int layer, int position, int n, float* out) noexcept;

/// The running softmax of some rows: for each the largest score m, the sum l of exp(score - m),
/// and the weighted values o (n_rows, width) relative to m.
struct SoftmaxState {
  float *m, *l, *o;
  int width;
  void reset(int n_rows) const noexcept;
};

/// One step of the running softmax: turns row r's scores (n_kv valid ones of `scores`, already
/// scaled) into weights, and rescales what was summed so far.
void softmax_step(const KernelTable& kernels, float* scores, int n_valid, int n_kv,
                  const SoftmaxState& state, int r) noexcept;

/// Which form costs less for n_q queries after n_before cached tokens.
bool absorbed_is_cheaper(const MlaDims& d, int n_q, int n_before) noexcept;

// The forms; see MlaForm. `sequences` with use_absorbed are done by the first, the others by the
// second; each sequence writes its own rows of the output.
void run_absorbed(const OpRun& run, const MlaDims& d, Worker& worker) noexcept;
void run_rebuilt(const OpRun& run, const MlaDims& d, Worker& worker) noexcept;
bool use_absorbed(const OpRun& run, const MlaDims& d, const SequenceSlice& slice) noexcept;

size_t absorbed_scratch_bytes(const Graph& graph, const Node& node) noexcept;
size_t absorbed_worker_bytes(const MlaDims& d) noexcept;
size_t rebuilt_worker_bytes(const MlaDims& d, int max_tokens) noexcept;

}  // namespace minke::cpu
