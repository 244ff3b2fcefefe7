// The absorbed form: queries are carried into the latent space by k_b, attend to the cached rows
// themselves, and the result is carried back by v_b. All heads share each cached row.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "backends/cpu/onednn.h"
#include "backends/cpu/ops/mla.h"

namespace minke::cpu {
namespace {

constexpr int kKeys = 64;        // cached rows decoded at a time
constexpr int kTileRows = 64;    // (token, head) rows that share decoded rows
constexpr int kMaxRows = 2048;   // (token, head) rows carried into the latent space at a time
constexpr int kSplitKeys = 512;  // a long cache is split over workers in pieces of at least this
constexpr int kMaxSplits = 16;
constexpr int kSplitTokens = 16;  // ... by sequences with at most so many new tokens

int tile_tokens(const MlaDims& d) noexcept { return std::max(1, kTileRows / d.n_heads); }
int tokens_at_a_time(const MlaDims& d, int max_tokens) noexcept {
  return std::min(max_tokens, std::max(1, kMaxRows / d.n_heads));
}

/// What the workers share. A row is a (token, head) pair.
struct Scratch {
  int32_t* rows;              ///< (n_heads, n_tokens) row numbers of each head
  std::byte* nope_quantized;  ///< (rows, nope), if k_b wants it
  float* q;                   ///< (rows, rank + rope) queries in the latent space
  float* o;                   ///< (rows, rank)
  std::byte* o_quantized;     ///< (rows, rank), if v_b wants it
  SoftmaxState parts;         ///< (splits, rows), only where a cache is split
  size_t bytes;
};

Scratch lay_out(std::byte* base, const MlaDims& d, int n_tokens) noexcept {
  Carver carve(base);
  const int n_rows = n_tokens * d.n_heads;
  const size_t rows = static_cast<size_t>(n_rows), rank = static_cast<size_t>(d.rank);
  const size_t parts = rows * kMaxSplits;  // pages that no split touches cost nothing
  const auto quantized = [&](int cols) {
    return carve.bytes(cols % kQuantBlock == 0 ? quantized_rows_bytes(n_rows, cols) : 0);
  };
  Scratch s{};
  s.rows = carve.ints(rows);
  s.nope_quantized = quantized(d.nope);
  s.q = carve.floats(rows * static_cast<size_t>(d.latent()));
  s.o = carve.floats(rows * rank);
  s.o_quantized = quantized(d.rank);
  s.parts = {carve.floats(parts), carve.floats(parts), carve.floats(parts * rank), d.rank};
  s.bytes = carve.used();
  return s;
}

/// One worker's memory.
struct Tile {
  float *latent, *scores;
  SoftmaxState state;
  size_t bytes;
};

Tile lay_out_tile(std::byte* base, const MlaDims& d) noexcept {
  Carver carve(base);
  const size_t rows = static_cast<size_t>(tile_tokens(d) * d.n_heads);
  Tile t{};
  t.latent = carve.floats(static_cast<size_t>(kKeys) * static_cast<size_t>(d.latent()));
  t.scores = carve.floats(rows * kKeys);
  t.state = {carve.floats(rows), carve.floats(rows),
             carve.floats(rows * static_cast<size_t>(d.rank)), d.rank};
  t.bytes = carve.used();
  return t;
}

/// Some consecutive tokens of one sequence, and the piece of its cache that one task reads.
struct Piece {
  SequenceSlice slice;
  int first_token, n_tokens;  ///< of the step
  int n_splits;
};

/// Depends on the sequence alone, so that its sums do not change with what is batched beside it.
int splits_of(const SequenceSlice& slice) noexcept {
  if (slice.n_tokens > kSplitTokens) return 1;
  const int n_kv = slice.first_position + slice.n_tokens;
  return std::clamp((n_kv + kSplitKeys - 1) / kSplitKeys, 1, kMaxSplits);
}

class Absorbed {
 public:
  Absorbed(const OpRun& run, const MlaDims& d, Worker& worker) noexcept
      : run_(run), d_(d), worker_(worker), kernels_(worker.kernels()) {}

  /// Tokens [first, first + n) of the step.
  void run_tokens(int first, int n) noexcept;

 private:
  void prepare_rows() noexcept;
  void project_queries() noexcept;
  void attend_all() noexcept;
  void attend(const Piece& piece, int split) noexcept;
  void merge_parts() noexcept;
  void project_outputs() noexcept;
  MatmulArgs head_matmul(const Operand& weight, int head) const noexcept;
  void observe_heads(const Operand& weight, const float* x, size_t head_stride) const noexcept;
  bool active(int token) const noexcept {
    return use_absorbed(run_, d_, run_.step->slice_of(token));
  }
  size_t row(int token, int head) const noexcept {
    return static_cast<size_t>(token - first_) * static_cast<size_t>(d_.n_heads) +
           static_cast<size_t>(head);
  }

  const OpRun& run_;
  const MlaDims& d_;
  Worker& worker_;
  const KernelTable& kernels_;
  Scratch s_{};
  int first_ = 0, n_ = 0;
};

/// Row numbers of each head, the rope part of the queries, and the quantized other part.
void Absorbed::prepare_rows() noexcept {
  const bool quantize = wants_quantized_rows(run_.in[1].info->desc.dtype);
  const QuantizedRows nope =
      quantize ? quantized_rows_at(s_.nope_quantized, n_ * d_.n_heads, d_.nope) : QuantizedRows{};
  worker_.parallel_for(n_, [&](int t) {
    const float* q = run_.in[0].row(first_ + t);
    for (int h = 0; h < d_.n_heads; ++h) {
      const size_t r = row(first_ + t, h);
      s_.rows[h * n_ + t] = static_cast<int32_t>(r);
      const float* head = q + h * d_.qk();
      if (quantize) kernels_.quantize_rows(head, 0, 1, nope, static_cast<int>(r));
      std::memcpy(s_.q + r * static_cast<size_t>(d_.latent()) + d_.rank, head + d_.nope,
                  sizeof(float) * static_cast<size_t>(d_.rope));
    }
  });
}

MatmulArgs Absorbed::head_matmul(const Operand& weight, int head) const noexcept {
  return {.w_type = weight.info->desc.dtype,
          .w = weight_plane(weight, head),
          .w_row_bytes = weight.info->desc.row_bytes(),
          .n_cols = weight.cols(),
          .n_x = n_,
          .scratch = worker_.scratch()};
}

/// x (n, n_heads, head_stride): what each head's matrix is multiplied with.
void Absorbed::observe_heads(const Operand& weight, const float* x,
                             size_t head_stride) const noexcept {
  if (run_.observer == nullptr) return;
  const auto heads = static_cast<size_t>(d_.n_heads);
  for (size_t h = 0; h < heads; ++h)
    run_.observe(worker_, {weight.info, static_cast<int>(h), x + h * head_stride,
                           heads * head_stride, nullptr, n_});
}

void Absorbed::project_queries() noexcept {
  const QuantizedRows nope = quantized_rows_at(s_.nope_quantized, n_ * d_.n_heads, d_.nope);
  const bool quantized = wants_quantized_rows(run_.in[1].info->desc.dtype);
  const size_t latent = static_cast<size_t>(d_.latent());
  observe_heads(run_.in[1], run_.in[0].row(first_), static_cast<size_t>(d_.qk()));
  worker_.parallel_for(d_.n_heads, [&](int h) {
    MatmulArgs args = head_matmul(run_.in[1], h);
    args.xq = &nope;
    args.x = run_.in[0].row(first_) + h * d_.qk();
    args.x_stride = static_cast<size_t>(run_.in[0].cols());
    if (quantized) args.x_rows = s_.rows + h * n_;
    args.y = s_.q + static_cast<size_t>(h) * latent;
    args.y_stride = latent * static_cast<size_t>(d_.n_heads);
    args.row_end = d_.rank;
    multiply(args, worker_);
  });
}

void Absorbed::attend(const Piece& piece, int split) noexcept {
  const Tile tile = lay_out_tile(worker_.scratch() + kMatmulScratchBytes, d_);
  const SequenceSlice& slice = piece.slice;
  const int n_rows = piece.n_tokens * d_.n_heads;
  const int first_position = slice.first_position + piece.first_token - slice.first_token;
  const int n_kv = first_position + piece.n_tokens;
  const int blocks = (n_kv + kKeys - 1) / kKeys;
  const int begin = blocks * split / piece.n_splits * kKeys;
  const int end = std::min(n_kv, blocks * (split + 1) / piece.n_splits * kKeys);
  const size_t r0 = row(piece.first_token, 0), latent = static_cast<size_t>(d_.latent());
  const size_t rank = static_cast<size_t>(d_.rank);

  SoftmaxState state = tile.state;
  if (piece.n_splits > 1) {
    const size_t at = r0 + static_cast<size_t>(split) * static_cast<size_t>(n_ * d_.n_heads);
    state = {s_.parts.m + at, s_.parts.l + at, s_.parts.o + at * rank, d_.rank};
  }
  state.reset(n_rows);
  for (int key = begin; key < end; key += kKeys) {
    if (!worker_.goes_on()) return;
    const int n = std::min(kKeys, end - key);
    load_latent(kernels_, *run_.step->cache, slice, d_.layer, key, n, tile.latent);
    kernels_.gemm_nt_f32(n_rows, n, d_.latent(), s_.q + r0 * latent, latent, tile.latent, latent,
                         tile.scores, kKeys);
    for (int r = 0; r < n_rows; ++r) {
      const int visible = first_position + r / d_.n_heads + 1 - key;
      float* scores = tile.scores + static_cast<ptrdiff_t>(r) * kKeys;
      kernels_.scale_f32(d_.scale, scores, scores, n);
      softmax_step(kernels_, scores, std::clamp(visible, 0, n), n, state, r);
    }
    kernels_.gemm_nn_add_f32(n_rows, d_.rank, n, tile.scores, kKeys, tile.latent, latent, state.o,
                             rank);
  }
  if (piece.n_splits > 1) return;
  for (int r = 0; r < n_rows; ++r)
    kernels_.scale_f32(1.0f / state.l[r], state.o + static_cast<size_t>(r) * rank,
                       s_.o + (r0 + static_cast<size_t>(r)) * rank, d_.rank);
}

/// Runs one task a (tile of tokens, split). Every worker counts the tasks alike.
void Absorbed::attend_all() noexcept {
  const int per_tile = tile_tokens(d_);
  const auto for_each_piece = [&](auto&& body) {
    for (const SequenceSlice& slice : run_.step->sequences) {
      const int from = std::max(slice.first_token, first_);
      const int to = std::min(slice.first_token + slice.n_tokens, first_ + n_);
      if (from >= to || !use_absorbed(run_, d_, slice)) continue;
      const int splits = splits_of(slice);
      for (int t = from; t < to; t += per_tile)
        if (body(Piece{slice, t, std::min(per_tile, to - t), splits})) return;
    }
  };
  int n_tasks = 0;
  for_each_piece([&](const Piece& piece) {
    n_tasks += piece.n_splits;
    return false;
  });
  worker_.parallel_for(n_tasks, [&](int task) {
    for_each_piece([&](const Piece& piece) {
      if (task < piece.n_splits) {
        attend(piece, task);
        return true;
      }
      task -= piece.n_splits;
      return false;
    });
  });
}

/// Joins the splits of each row, in their order.
void Absorbed::merge_parts() noexcept {
  const size_t n_rows = static_cast<size_t>(n_ * d_.n_heads), rank = static_cast<size_t>(d_.rank);
  worker_.parallel_for(n_ * d_.n_heads, [&](int r) {
    const int token = first_ + r / d_.n_heads;
    const int splits = splits_of(run_.step->slice_of(token));
    if (splits == 1 || !active(token)) return;
    const auto at = [&](int split) {
      return static_cast<size_t>(split) * n_rows + static_cast<size_t>(r);
    };
    float largest = s_.parts.m[at(0)], sum = 0;
    for (int i = 1; i < splits; ++i) largest = std::max(largest, s_.parts.m[at(i)]);
    for (int i = 0; i < splits; ++i)
      sum += s_.parts.l[at(i)] * std::exp(s_.parts.m[at(i)] - largest);
    float* o = s_.o + static_cast<size_t>(r) * rank;
    std::fill_n(o, d_.rank, 0.0f);
    for (int i = 0; i < splits; ++i)
      kernels_.axpy_f32(std::exp(s_.parts.m[at(i)] - largest) / sum, s_.parts.o + at(i) * rank, o,
                        d_.rank);
  });
}

void Absorbed::project_outputs() noexcept {
  const int n_rows = n_ * d_.n_heads;
  const size_t rank = static_cast<size_t>(d_.rank);
  observe_heads(run_.in[2], s_.o, rank);
  QuantizedRows o{};
  if (wants_quantized_rows(run_.in[2].info->desc.dtype)) {
    o = quantized_rows_at(s_.o_quantized, n_rows, d_.rank);
    worker_.parallel_for(n_, [&](int t) {
      kernels_.quantize_rows(s_.o + row(first_ + t, 0) * rank, rank, d_.n_heads, o, t * d_.n_heads);
    });
    worker_.barrier();
  }
  worker_.parallel_for(d_.n_heads, [&](int h) {
    MatmulArgs args = head_matmul(run_.in[2], h);
    args.xq = &o;
    if (o.q != nullptr) args.x_rows = s_.rows + h * n_;
    args.x = s_.o + static_cast<size_t>(h) * rank;
    args.x_stride = rank * static_cast<size_t>(d_.n_heads);
    args.y = run_.out_row(first_) + h * d_.v;
    args.y_stride = static_cast<size_t>(run_.out.cols());
    args.row_end = d_.v;
    multiply(args, worker_);
  });
}

void Absorbed::run_tokens(int first, int n) noexcept {
  first_ = first;
  n_ = n;
  s_ = lay_out(run_.scratch, d_, n);
  prepare_rows();
  worker_.barrier();
  project_queries();
  worker_.barrier();
  attend_all();
  worker_.barrier();
  merge_parts();
  worker_.barrier();
  project_outputs();
}

}  // namespace

void run_absorbed(const OpRun& run, const MlaDims& d, Worker& worker) noexcept {
  // Runs of neighbouring sequences that use this form, a bounded number of rows at a time.
  const int at_a_time = tokens_at_a_time(d, static_cast<int>(run.step->tokens.size()));
  Absorbed absorbed(run, d, worker);
  int begin = 0, end = 0;
  const auto flush = [&] {
    for (int t = begin; t < end; t += at_a_time) {
      if (t != 0) worker.barrier();  // the scratch is in use
      absorbed.run_tokens(t, std::min(at_a_time, end - t));
    }
  };
  for (const SequenceSlice& slice : run.step->sequences) {
    if (!use_absorbed(run, d, slice)) continue;
    if (slice.first_token != end) {
      flush();
      begin = slice.first_token;
    }
    end = slice.first_token + slice.n_tokens;
  }
  flush();
}

size_t absorbed_scratch_bytes(const Graph& graph, const Node& node) noexcept {
  const MlaDims d(std::get<MlaAttrs>(node.attrs));
  const int n = tokens_at_a_time(d, graph.max_tokens());
  return lay_out(nullptr, d, n).bytes;
}

size_t absorbed_worker_bytes(const MlaDims& d) noexcept {
  // The products before and after attention use the same memory for oneDNN's tiles.
  return std::max(lay_out_tile(nullptr, d).bytes, onednn_scratch_bytes(std::max(d.nope, d.rank)));
}

}  // namespace minke::cpu
