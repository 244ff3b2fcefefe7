#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "backends/cpu/ops/mla.h"

namespace minke::cpu {

namespace {

/// n rows, one behind the other.
void decode_block(const KernelTable& kernels, const CacheRow& row, const std::byte* bytes, int n,
                  float* to) noexcept {
  if (row.holds_integers()) {
    for (int r = 0; r < n; ++r, bytes += row.n_bytes(), to += row.n_values()) row.decode(bytes, to);
    return;
  }
  for (const CacheRow::Part& part : row.parts()) {
    kernels.decode_rows(part.format->dtype, bytes, row.n_bytes(), n,
                        static_cast<int>(part.n_values), to, row.n_values());
    bytes += part.n_bytes;
    to += part.n_values;
  }
}

}  // namespace

void load_latent(const KernelTable& kernels, LatentCache& cache, const SequenceSlice& slice,
                 int layer, int position, int n, float* out) noexcept {
  const CacheRow& row = cache.row_layout();
  const size_t width = row.n_values();
  for (int done = 0; done < n;) {
    const int rows = std::min(n - done, LatentCache::kBlockTokens);
    const std::byte* bytes = cache.row_at(layer, slice, position + done);
    float* to = out + static_cast<size_t>(done) * width;
    decode_block(kernels, row, bytes, rows, to);
    done += rows;
  }
}

void SoftmaxState::reset(int n_rows) const noexcept {
  std::fill_n(m, n_rows, -std::numeric_limits<float>::infinity());
  std::fill_n(l, n_rows, 0.0f);
  std::fill_n(o, static_cast<ptrdiff_t>(n_rows) * width, 0.0f);
}

void softmax_step(const KernelTable& kernels, float* scores, int n_valid, int n_kv,
                  const SoftmaxState& state, int r) noexcept {
  std::fill(scores + n_valid, scores + n_kv, 0.0f);
  if (n_valid == 0) return;
  const float largest = std::max(state.m[r], kernels.max_f32(scores, n_valid));
  const float sum = kernels.exp_sum_f32(scores, n_valid, largest);
  const float keep = std::exp(state.m[r] - largest);  // 0 at first: exp(-inf)
  state.l[r] = state.l[r] * keep + sum;
  state.m[r] = largest;
  float* o = state.o + static_cast<ptrdiff_t>(r) * state.width;
  if (keep != 1.0f) kernels.scale_f32(keep, o, o, state.width);
}

bool absorbed_is_cheaper(const MlaDims& d, int n_q, int n_before) noexcept {
  // In multiply-adds of f32 a head, fitted to measurements (CONTRIBUTING.md, "Two forms of
  // attention"): what the softmax of one score costs beside its products, and what a product with
  // quantized weights (and 8-bit rows) costs beside one in f32.
  constexpr double kSoftmax = 500, kQuantizedProduct = 0.3;
  const double queries = n_q, scores = queries * (n_before + 0.5 * n_q), keys = n_before + n_q;
  const double projection = static_cast<double>(d.rank) * (d.nope + d.v);
  const double absorbed =
      scores * (d.rank + d.latent() + kSoftmax) + queries * projection * kQuantizedProduct;
  const double rebuilt = scores * (d.qk() + d.v + kSoftmax) + keys * projection;
  return absorbed <= rebuilt;
}

bool use_absorbed(const OpRun& run, const MlaDims& d, const SequenceSlice& slice) noexcept {
  if (run.mla_form != MlaForm::kAuto) return run.mla_form == MlaForm::kAbsorbed;
  // In integers the absorbed form is ahead at all sizes.
  return attends_in_integers(d, run.step->cache->config().type) ||
         absorbed_is_cheaper(d, slice.n_tokens, slice.first_position);
}

namespace {

void run_attention(const OpRun& run, Worker& worker) noexcept {
  const MlaDims d(run.attrs<MlaAttrs>());
  run_absorbed(run, d, worker);
  run_rebuilt(run, d, worker);
}

size_t worker_bytes(const Graph& graph, const Node& node) noexcept {
  const MlaDims d(std::get<MlaAttrs>(node.attrs));
  return std::max(absorbed_worker_bytes(d, graph.max_tokens()),
                  rebuilt_worker_bytes(d, graph.max_tokens()));
}

}  // namespace

extern const CpuOp kMlaAttentionCpuOp;
const CpuOp kMlaAttentionCpuOp{
    .run = run_attention, .scratch_bytes = absorbed_scratch_bytes, .worker_bytes = worker_bytes};

}  // namespace minke::cpu
