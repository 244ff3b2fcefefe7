// The rebuilt form: for a block of cached tokens at a time, keys and values of one head are made
// from the latent rows, then all queries of the sequence use them.
#include <algorithm>
#include <cstring>

#include "backends/cpu/ops/mla.h"

namespace minke::cpu {
namespace {

constexpr int kKeys = 256;    // cached tokens rebuilt at a time: keys and values stay in L2
constexpr int kQueries = 32;  // query rows of one score tile

/// One worker's memory for one head.
struct Scratch {
  float *latent, *k_b, *v_b, *keys, *values, *scores;
  SoftmaxState state;
  size_t bytes;
};

Scratch lay_out(std::byte* base, const MlaDims& d, int max_tokens) noexcept {
  Carver carve(base);
  const auto n = [](int a, int b) { return static_cast<size_t>(a) * static_cast<size_t>(b); };
  Scratch s{};
  s.latent = carve.floats(n(kKeys, d.latent()));
  s.k_b = carve.floats(n(d.rank, d.nope));
  s.v_b = carve.floats(n(d.v, d.rank));
  s.keys = carve.floats(n(kKeys, d.qk()));
  s.values = carve.floats(n(kKeys, d.v));
  s.scores = carve.floats(n(kQueries, kKeys));
  s.state = {carve.floats(n(max_tokens, 1)), carve.floats(n(max_tokens, 1)),
             carve.floats(n(max_tokens, d.v)), d.v};
  s.bytes = carve.used();
  return s;
}

void decode_plane(const Operand& weight, int plane, float* out) noexcept {
  const TensorDesc& desc = weight.info->desc;
  const FormatTraits* format = find_format(desc.dtype);
  format->decode(weight_plane(weight, plane), out,
                 static_cast<size_t>(desc.shape[1] * desc.shape[2]) / format->block_len);
}

/// Keys (n, nope + rope) and values (n, v) of cached rows `latent` (n, rank + rope).
void rebuild(const KernelTable& kernels, const MlaDims& d, const Scratch& s, int n) noexcept {
  const size_t qk = static_cast<size_t>(d.qk()), latent = static_cast<size_t>(d.latent());
  for (int j = 0; j < n; ++j) {
    float* key = s.keys + static_cast<size_t>(j) * qk;
    std::fill_n(key, d.nope, 0.0f);
    std::memcpy(key + d.nope, s.latent + static_cast<size_t>(j) * latent + d.rank,
                sizeof(float) * static_cast<size_t>(d.rope));
  }
  kernels.gemm_nn_add_f32(n, d.nope, d.rank, s.latent, latent, s.k_b, static_cast<size_t>(d.nope),
                          s.keys, qk);
  kernels.gemm_nt_f32(n, d.v, d.rank, s.latent, latent, s.v_b, static_cast<size_t>(d.rank),
                      s.values, static_cast<size_t>(d.v));
}

/// All queries of one head of one sequence against keys [first_key, first_key + n_keys).
void attend(const OpRun& run, const KernelTable& kernels, const MlaDims& d, const Scratch& s,
            const SequenceSlice& slice, int head, int first_key, int n_keys) noexcept {
  const size_t q_stride = static_cast<size_t>(d.n_heads) * static_cast<size_t>(d.qk());
  // Queries before first_key do not see these keys.
  const int first_query = std::max(0, first_key - slice.first_position);
  for (int at = first_query; at < slice.n_tokens; at += kQueries) {
    const int n = std::min(kQueries, slice.n_tokens - at);
    const float* q = run.in[0].row(slice.first_token + at) + head * d.qk();
    kernels.gemm_nt_f32(n, n_keys, d.qk(), q, q_stride, s.keys, static_cast<size_t>(d.qk()),
                        s.scores, kKeys);
    for (int i = 0; i < n; ++i) {
      const int visible = slice.first_position + at + i + 1 - first_key;
      float* row = s.scores + static_cast<ptrdiff_t>(i) * kKeys;
      kernels.scale_f32(d.scale, row, row, n_keys);
      softmax_step(kernels, row, std::clamp(visible, 0, n_keys), n_keys, s.state, at + i);
    }
    kernels.gemm_nn_add_f32(n, d.v, n_keys, s.scores, kKeys, s.values, static_cast<size_t>(d.v),
                            s.state.o + static_cast<ptrdiff_t>(at) * d.v, static_cast<size_t>(d.v));
  }
}

void run_head(const OpRun& run, const MlaDims& d, const SequenceSlice& slice, int head,
              Worker& worker) noexcept {
  const KernelTable& kernels = worker.kernels();
  const Scratch s = lay_out(worker.scratch() + kMatmulScratchBytes, d, slice.n_tokens);
  decode_plane(run.in[1], head, s.k_b);
  decode_plane(run.in[2], head, s.v_b);
  s.state.reset(slice.n_tokens);
  const int n_kv = slice.first_position + slice.n_tokens;
  for (int key = 0; key < n_kv; key += kKeys) {
    if (!worker.goes_on()) return;
    const int n = std::min(kKeys, n_kv - key);
    load_latent(kernels, *run.step->cache, slice, d.layer, key, n, s.latent);
    rebuild(kernels, d, s, n);
    attend(run, kernels, d, s, slice, head, key, n);
  }
  for (int i = 0; i < slice.n_tokens; ++i)
    kernels.scale_f32(1.0f / s.state.l[i], s.state.o + static_cast<ptrdiff_t>(i) * d.v,
                      run.out_row(slice.first_token + i) + head * d.v, d.v);
}

}  // namespace

void run_rebuilt(const OpRun& run, const MlaDims& d, Worker& worker) noexcept {
  const std::span<const SequenceSlice> slices = run.step->sequences;
  worker.parallel_for(static_cast<int>(slices.size()) * d.n_heads, [&](int task) {
    const SequenceSlice& slice = slices[static_cast<size_t>(task / d.n_heads)];
    if (!use_absorbed(run, d, slice)) run_head(run, d, slice, task % d.n_heads, worker);
  });
}

size_t rebuilt_worker_bytes(const MlaDims& d, int max_tokens) noexcept {
  return lay_out(nullptr, d, max_tokens).bytes;
}

}  // namespace minke::cpu
