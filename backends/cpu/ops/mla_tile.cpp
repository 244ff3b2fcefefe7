// The inner loop of the absorbed form: some query rows against pieces of a sequence's cached rows.
#include <algorithm>
#include <optional>

#include "backends/cpu/ops/mla.h"

namespace minke::cpu {
namespace {

constexpr int kTileRows = 64;  // (token, head) rows that share decoded rows
constexpr int kMaxLanes = 16;  // more lanes need more room

int tile_rows(const MlaDims& d) noexcept { return absorbed_tile_tokens(d) * d.n_heads; }

/// Memory of the form in f32.
struct FloatTile {
  float *latent, *scores;
  size_t bytes;
};

FloatTile lay_out_floats(std::byte* base, const MlaDims& d) noexcept {
  Carver carve(base);
  FloatTile t{};
  t.latent = carve.floats(static_cast<size_t>(kLatentKeys) * static_cast<size_t>(d.latent()));
  t.scores = carve.floats(static_cast<size_t>(tile_rows(d)) * kLatentKeys);
  t.bytes = carve.used();
  return t;
}

/// Memory of the form in integers.
struct IntegerTile {
  float* latent;  ///< decoded rows, where the kernel does not know the cache's type
  std::byte *keys, *queries;
  int32_t* visible;
  size_t bytes;
};

IntegerTile lay_out_integers(std::byte* base, const MlaDims& d) noexcept {
  Carver carve(base);
  const LatentDims dims{d.rank, d.rope};
  IntegerTile t{};
  t.latent = carve.floats(static_cast<size_t>(kLatentKeys) * static_cast<size_t>(d.latent()));
  t.keys = carve.bytes(latent_keys_bytes(dims, kMaxLanes));
  t.queries = carve.bytes(latent_queries_bytes(dims, kMaxLanes, tile_rows(d)));
  t.visible = carve.ints(static_cast<size_t>(tile_rows(d)));
  t.bytes = carve.used();
  return t;
}

/// How many of the n keys from `key` on the row's token sees.
int visible_keys(const AbsorbedTask& task, int n_heads, int row, int key, int n) noexcept {
  return std::clamp(task.first_position + row / n_heads + 1 - key, 0, n);
}

bool attend_in_floats(const AbsorbedTask& task, const MlaDims& d, LatentCache& cache,
                      std::byte* storage, const SoftmaxState& state, Worker& worker) noexcept {
  const KernelTable& kernels = worker.kernels();
  const FloatTile tile = lay_out_floats(storage, d);
  const int n_rows = task.n_tokens * d.n_heads;
  const size_t latent = static_cast<size_t>(d.latent()), rank = static_cast<size_t>(d.rank);
  state.reset(n_rows);
  for (int key = task.begin; key < task.end; key += kLatentKeys) {
    if (!worker.goes_on()) return false;
    const int n = std::min(kLatentKeys, task.end - key);
    load_latent(kernels, cache, *task.slice, d.layer, key, n, tile.latent);
    kernels.gemm_nt_f32(n_rows, n, d.latent(), task.q, latent, tile.latent, latent, tile.scores,
                        kLatentKeys);
    for (int r = 0; r < n_rows; ++r) {
      float* scores = tile.scores + static_cast<ptrdiff_t>(r) * kLatentKeys;
      kernels.scale_f32(d.scale, scores, scores, n);
      softmax_step(kernels, scores, visible_keys(task, d.n_heads, r, key, n), n, state, r);
    }
    kernels.gemm_nn_add_f32(n_rows, d.rank, n, tile.scores, kLatentKeys, tile.latent, latent,
                            state.o, rank);
  }
  return true;
}

/// How the kernel is to read cached rows; nullopt: they must be decoded first.
std::optional<LatentRows> readable_rows(CacheType type) noexcept {
  if (type == CacheType::kF16) return LatentRows::kF16;
  if (type == CacheType::kBF16) return LatentRows::kBF16;
  if (type == CacheType::kQ8) return LatentRows::kIntegers;
  return std::nullopt;
}

bool attend_in_integers(const AbsorbedTask& task, const MlaDims& d, LatentCache& cache,
                        std::byte* storage, const SoftmaxState& state, Worker& worker) noexcept {
  const KernelTable& kernels = worker.kernels();
  const LatentDims dims{d.rank, d.rope};
  const IntegerTile tile = lay_out_integers(storage, d);
  const int n_rows = task.n_tokens * d.n_heads;
  LatentKeys keys = latent_keys_at(tile.keys, dims, kernels.lanes);
  const LatentQueries queries = latent_queries_at(tile.queries, dims, kernels.lanes, n_rows);
  const std::optional<LatentRows> as_they_are = readable_rows(cache.config().type);
  kernels.pack_latent_queries(task.q, static_cast<size_t>(d.latent()), n_rows, d.scale, queries);
  state.reset(n_rows);
  std::fill_n(state.m, n_rows, kLatentNoScore);
  for (int key = task.begin; key < task.end; key += kLatentKeys) {
    if (!worker.goes_on()) return false;
    const int n = std::min(kLatentKeys, task.end - key);
    if (as_they_are) {
      kernels.pack_latent_keys(*as_they_are, cache.row_at(d.layer, *task.slice, key), n, keys);
    } else {
      load_latent(kernels, cache, *task.slice, d.layer, key, n, tile.latent);
      kernels.pack_latent_keys(LatentRows::kF32, tile.latent, n, keys);
    }
    for (int r = 0; r < n_rows; ++r) tile.visible[r] = visible_keys(task, d.n_heads, r, key, n);
    const int next = std::min(kLatentKeys, task.end - key - n);
    LatentAhead ahead{};
    if (next > 0)
      ahead = {cache.row_at(d.layer, *task.slice, key + n),
               static_cast<size_t>(next) * cache.row_layout().n_bytes()};
    kernels.attend_latent(queries, keys, n, {n_rows, tile.visible, state.m, state.l, state.o},
                          ahead);
  }
  return true;
}

}  // namespace

static_assert(kLatentKeys == LatentCache::kBlockTokens);  // a tile's rows lie side by side

bool attends_in_integers(const MlaDims& d, CacheType cache_type) noexcept {
  return cache_type != CacheType::kF32 && latent_fits({d.rank, d.rope});
}

int absorbed_tile_tokens(const MlaDims& d) noexcept { return std::max(1, kTileRows / d.n_heads); }

bool attend_absorbed(const AbsorbedTask& task, const MlaDims& d, LatentCache& cache,
                     std::byte* storage, const SoftmaxState& state, Worker& worker) noexcept {
  const auto attend =
      attends_in_integers(d, cache.config().type) ? attend_in_integers : attend_in_floats;
  return attend(task, d, cache, storage, state, worker);
}

size_t absorbed_tile_bytes(const MlaDims& d) noexcept {
  return std::max(lay_out_floats(nullptr, d).bytes, lay_out_integers(nullptr, d).bytes);
}

}  // namespace minke::cpu
