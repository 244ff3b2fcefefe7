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

/// Some query rows, carried into the latent space, and the cached rows that they attend to.
struct AbsorbedTask {
  const SequenceSlice* slice;
  const float* q;  ///< (n_tokens, n_heads, rank + rope)
  int n_tokens;
  int first_position;  ///< Of the first token; it sees the keys up to its own.
  int begin, end;      ///< Keys; begin is a multiple of the cache's block.
};

/// Rows of one worker's tile at most.
int absorbed_tile_tokens(const MlaDims& d) noexcept;
/// Fills `state` (n_tokens * n_heads rows of rank values); an F32 cache is multiplied in f32,
/// others in integers. `storage` is of absorbed_tile_bytes(). False if the step was stopped before
/// the end.
bool attend_absorbed(const AbsorbedTask& task, const MlaDims& d, LatentCache& cache,
                     std::byte* storage, const SoftmaxState& state, Worker& worker) noexcept;
size_t absorbed_tile_bytes(const MlaDims& d) noexcept;

/// Whether the absorbed form rounds cached rows to integers. An F32 cache is kept for its
/// precision.
bool attends_in_integers(const MlaDims& d, CacheType cache_type) noexcept;

/// Which form in f32 costs less for n_q queries after n_before cached tokens.
bool absorbed_is_cheaper(const MlaDims& d, int n_q, int n_before) noexcept;

// The forms; see MlaForm. `sequences` with use_absorbed are done by the first, the others by the
// second; each sequence writes its own rows of the output.
void run_absorbed(const OpRun& run, const MlaDims& d, Worker& worker) noexcept;
void run_rebuilt(const OpRun& run, const MlaDims& d, Worker& worker) noexcept;
bool use_absorbed(const OpRun& run, const MlaDims& d, const SequenceSlice& slice) noexcept;

size_t absorbed_scratch_bytes(const Graph& graph, const Node& node) noexcept;
size_t absorbed_worker_bytes(const MlaDims& d, int max_tokens) noexcept;
size_t rebuilt_worker_bytes(const MlaDims& d, int max_tokens) noexcept;

}  // namespace minke::cpu
