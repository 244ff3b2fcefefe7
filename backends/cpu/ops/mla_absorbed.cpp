// The absorbed form: queries are carried into the latent space by k_b, attend to the cached rows
// themselves, and the result is carried back by v_b. All heads share each cached row.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "backends/cpu/onednn.h"
#include "backends/cpu/ops/mla.h"

namespace minke::cpu {
namespace {

constexpr int kMaxTiles = 64;    // whose rows are carried into the latent space at a time
constexpr int kPieceKeys = 512;  // a long cache is read in pieces of at least this
constexpr int kMaxPieces = 16;
// Workers share the pieces of a tile with more than one part in so many of a worker's keys: else
// the last tile would be waited for.
constexpr int kPartsOfWork = 4;
constexpr int kMaxSharedRows = 2048;  // 64 MB of V2's values, where there are all pieces
constexpr int kMergedRows = 4;        // by a task

int tokens_at_a_time(const MlaDims& d, int max_tokens) noexcept {
  return std::min(max_tokens, kMaxTiles * absorbed_tile_tokens(d));
}
int shared_rows(int n_rows) noexcept { return std::min(n_rows, kMaxSharedRows); }

/// What the workers share. A row is a (token, head) pair.
struct Scratch {
  int32_t* rows;  ///< (n_heads, 2, n_tokens) row numbers of each head, then of the rests
  std::byte* nope_quantized;  ///< (rows, nope), if k_b wants it, and their rests
  float* q;                   ///< (rows, rank + rope) queries in the latent space
  float* o;                   ///< (rows, rank)
  std::byte* o_quantized;     ///< (rows, rank), if v_b wants it, and their rests
  SoftmaxState parts;         ///< (pieces, shared rows)
  size_t bytes;
};

Scratch lay_out(std::byte* base, const MlaDims& d, int n_tokens) noexcept {
  Carver carve(base);
  const int n_rows = n_tokens * d.n_heads;
  const size_t rows = static_cast<size_t>(n_rows), rank = static_cast<size_t>(d.rank);
  // Pages that nobody touches cost nothing.
  const size_t parts = static_cast<size_t>(shared_rows(n_rows)) * kMaxPieces;
  const auto quantized = [&](int cols) {
    return carve.bytes(cols % kQuantBlock == 0 ? quantized_rows_bytes(n_rows, cols, Rests::kYes)
                                               : 0);
  };
  Scratch s{};
  s.rows = carve.ints(2 * rows);
  s.nope_quantized = quantized(d.nope);
  s.q = carve.floats(rows * static_cast<size_t>(d.latent()));
  s.o = carve.floats(rows * rank);
  s.o_quantized = quantized(d.rank);
  s.parts = {carve.floats(parts), carve.floats(parts), carve.floats(parts * rank), d.rank};
  s.bytes = carve.used();
  return s;
}

/// One worker's memory: of its tile, and the states of a tile's rows over all keys and over a
/// piece.
struct Tile {
  std::byte* storage;
  SoftmaxState all, piece;
  size_t bytes;
};

Tile lay_out_tile(std::byte* base, const MlaDims& d) noexcept {
  Carver carve(base);
  const size_t rows = static_cast<size_t>(absorbed_tile_tokens(d) * d.n_heads);
  const size_t width = rows * static_cast<size_t>(d.rank);
  Tile t{};
  t.storage = carve.bytes(absorbed_tile_bytes(d));
  t.all = {carve.floats(rows), carve.floats(rows), carve.floats(width), d.rank};
  t.piece = {carve.floats(rows), carve.floats(rows), carve.floats(width), d.rank};
  t.bytes = carve.used();
  return t;
}

/// Keys of a piece. Depends on the token's position alone, so that its sums do not change with what
/// is computed beside it, nor with how a prompt was cut into steps.
int piece_keys(int position) noexcept {
  const auto n_kv = static_cast<unsigned>(position) + 1;
  return std::max(kPieceKeys, static_cast<int>(std::bit_ceil(n_kv) / kMaxPieces));
}
int n_pieces(int position) noexcept { return position / piece_keys(position) + 1; }

/// Some consecutive tokens of one sequence whose pieces are alike.
struct TokenTile {
  SequenceSlice slice;
  int first_token, n_tokens;  ///< of the step
  int shared_at = -1;         ///< its first row in Scratch::parts, if workers share its pieces
  int first_position() const noexcept {
    return slice.first_position + first_token - slice.first_token;
  }
  int last_position() const noexcept { return first_position() + n_tokens - 1; }
  int n_keys() const noexcept { return last_position() + 1; }
  bool shared() const noexcept { return shared_at >= 0; }
};

/// Adds the row of a later piece to row r of `all`.
void add_piece(const KernelTable& kernels, const SoftmaxState& all, size_t r,
               const SoftmaxState& piece, size_t piece_r) noexcept {
  const float largest = std::max(all.m[r], piece.m[piece_r]);
  const float keep = std::exp(all.m[r] - largest), add = std::exp(piece.m[piece_r] - largest);
  const auto width = static_cast<size_t>(all.width);
  float* o = all.o + r * width;
  all.m[r] = largest;
  all.l[r] = all.l[r] * keep + piece.l[piece_r] * add;
  kernels.scale_f32(keep, o, o, all.width);
  kernels.axpy_f32(add, piece.o + piece_r * width, o, all.width);
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
  void choose_sharing() noexcept;
  void attend_all() noexcept;
  template <class Body>
  void for_each_tile(Body&& body) const noexcept;
  template <class Count, class Body>
  void parallel_for_tiles(Count&& count, Body&& body) noexcept;
  TokenTile tile_at(const SequenceSlice& slice, int token, int end) const noexcept;
  bool attend_piece(const TokenTile& tokens, int piece, std::byte* storage,
                    const SoftmaxState& state) noexcept;
  void attend(const TokenTile& tokens) noexcept;
  void merge_parts() noexcept;
  SoftmaxState part(int piece, size_t row) const noexcept {
    const auto n_rows = static_cast<size_t>(shared_rows(n_ * d_.n_heads));
    const size_t at = static_cast<size_t>(piece) * n_rows + row;
    return {s_.parts.m + at, s_.parts.l + at, s_.parts.o + at * static_cast<size_t>(d_.rank),
            d_.rank};
  }
  void project_outputs() noexcept;
  QuantizedRows quantized_rows(std::byte* storage, const Operand& weight) const noexcept;
  MatmulArgs head_matmul(const Operand& weight, int head) const noexcept;
  void multiply_head(const MatmulArgs& args, const QuantizedRows& rows, int head) const noexcept;
  void observe_heads(const Operand& weight, const float* x, size_t head_stride) const noexcept;
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
  int64_t share_above_ = 0;  ///< keys of a tile
  bool any_shared_ = false;
};

/// Row numbers of each head, the rope part of the queries, and the quantized other part.
void Absorbed::prepare_rows() noexcept {
  const QuantizedRows nope = quantized_rows(s_.nope_quantized, run_.in[1]);
  worker_.parallel_for(n_, [&](int t) {
    const float* q = run_.in[0].row(first_ + t);
    for (int h = 0; h < d_.n_heads; ++h) {
      const size_t r = row(first_ + t, h);
      int32_t* rows = s_.rows + 2 * h * n_ + t;
      rows[0] = static_cast<int32_t>(r);
      rows[n_] = static_cast<int32_t>(r) + n_ * d_.n_heads;
      const float* head = q + h * d_.qk();
      if (nope.q != nullptr) kernels_.quantize_rows(head, 0, 1, nope, static_cast<int>(r));
      std::memcpy(s_.q + r * static_cast<size_t>(d_.latent()) + d_.rank, head + d_.nope,
                  sizeof(float) * static_cast<size_t>(d_.rope));
    }
  });
}

/// The rows that all heads' matrices are multiplied with; without q where these are not quantized.
QuantizedRows Absorbed::quantized_rows(std::byte* storage, const Operand& weight) const noexcept {
  const DType dtype = weight.info->desc.dtype;
  if (!wants_quantized_rows(dtype)) return {};
  return quantized_rows_at(storage, n_ * d_.n_heads, weight.cols(), Rests{wants_rests(dtype)});
}

MatmulArgs Absorbed::head_matmul(const Operand& weight, int head) const noexcept {
  return {.w_type = weight.info->desc.dtype,
          .w = weight_plane(weight, head),
          .w_row_bytes = weight.info->desc.row_bytes(),
          .n_cols = weight.cols(),
          .n_x = n_,
          .scratch = worker_.scratch()};
}

/// The product of head_matmul(), of the head's rows.
void Absorbed::multiply_head(const MatmulArgs& args, const QuantizedRows& rows,
                             int head) const noexcept {
  MatmulArgs all = args;
  all.xq = &rows;
  if (rows.q != nullptr) all.x_rows = s_.rows + 2 * head * n_;
  if (rows.rest_from == 0) return multiply(all, worker_);
  multiply_with_rests(all, worker_);
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
  const QuantizedRows nope = quantized_rows(s_.nope_quantized, run_.in[1]);
  const size_t latent = static_cast<size_t>(d_.latent());
  observe_heads(run_.in[1], run_.in[0].row(first_), static_cast<size_t>(d_.qk()));
  worker_.parallel_for(d_.n_heads, [&](int h) {
    MatmulArgs args = head_matmul(run_.in[1], h);
    args.x = run_.in[0].row(first_) + h * d_.qk();
    args.x_stride = static_cast<size_t>(run_.in[0].cols());
    args.y = s_.q + static_cast<size_t>(h) * latent;
    args.y_stride = latent * static_cast<size_t>(d_.n_heads);
    args.row_end = d_.rank;
    multiply_head(args, nope, h);
  });
}

/// The tile that begins at `token`; tokens before `end` may belong to it.
TokenTile Absorbed::tile_at(const SequenceSlice& slice, int token, int end) const noexcept {
  TokenTile tile{slice, token, std::min(absorbed_tile_tokens(d_), end - token)};
  while (piece_keys(tile.last_position()) != piece_keys(tile.first_position())) --tile.n_tokens;
  return tile;
}

/// False if the step was stopped before the end.
bool Absorbed::attend_piece(const TokenTile& tokens, int piece, std::byte* storage,
                            const SoftmaxState& state) noexcept {
  const int keys = piece_keys(tokens.first_position());
  const size_t latent = static_cast<size_t>(d_.latent());
  const AbsorbedTask task{.slice = &tokens.slice,
                          .q = s_.q + row(tokens.first_token, 0) * latent,
                          .n_tokens = tokens.n_tokens,
                          .first_position = tokens.first_position(),
                          .begin = piece * keys,
                          .end = std::min((piece + 1) * keys, tokens.last_position() + 1)};
  return attend_absorbed(task, d_, *run_.step->cache, storage, state, worker_);
}

/// All pieces, one after the other.
void Absorbed::attend(const TokenTile& tokens) noexcept {
  const Tile tile = lay_out_tile(worker_.scratch() + kMatmulScratchBytes, d_);
  const auto n_rows = static_cast<size_t>(tokens.n_tokens * d_.n_heads);
  if (!attend_piece(tokens, 0, tile.storage, tile.all)) return;
  for (int piece = 1; piece < n_pieces(tokens.last_position()); ++piece) {
    if (!attend_piece(tokens, piece, tile.storage, tile.piece)) return;
    for (size_t r = 0; r < n_rows; ++r) add_piece(kernels_, tile.all, r, tile.piece, r);
  }
  const size_t rank = static_cast<size_t>(d_.rank);
  float* o = s_.o + row(tokens.first_token, 0) * rank;
  for (size_t r = 0; r < n_rows; ++r)
    kernels_.scale_f32(1.0f / tile.all.l[r], tile.all.o + r * rank, o + r * rank, d_.rank);
}

/// Calls body(tile) for the tiles, in order, until it returns true.
template <class Body>
void Absorbed::for_each_tile(Body&& body) const noexcept {
  int n_shared = 0;
  for (const SequenceSlice& slice : run_.step->sequences) {
    const int from = std::max(slice.first_token, first_);
    const int to = std::min(slice.first_token + slice.n_tokens, first_ + n_);
    if (from >= to || !use_absorbed(run_, d_, slice)) continue;
    for (int t = from; t < to;) {
      TokenTile tile = tile_at(slice, t, to);
      const int n_rows = tile.n_tokens * d_.n_heads;
      if (tile.n_keys() > share_above_ && n_pieces(tile.last_position()) > 1 &&
          n_shared + n_rows <= kMaxSharedRows) {
        tile.shared_at = n_shared;
        n_shared += n_rows;
      }
      if (body(tile)) return;
      t += tile.n_tokens;
    }
  }
}

/// Runs body(tile, i) for i in 0..count(tile)-1 of all tiles, each on one of the workers, all of
/// which count alike.
template <class Count, class Body>
void Absorbed::parallel_for_tiles(Count&& count, Body&& body) noexcept {
  int n_tasks = 0;
  for_each_tile([&](const TokenTile& tile) {
    n_tasks += count(tile);
    return false;
  });
  worker_.parallel_for(n_tasks, [&](int task) {
    for_each_tile([&](const TokenTile& tile) {
      const int n = count(tile);
      if (task < n) body(tile, task);
      task -= n;
      return task < 0;
    });
  });
}

void Absorbed::choose_sharing() noexcept {
  any_shared_ = false;
  share_above_ = std::numeric_limits<int64_t>::max();
  if (worker_.n_workers() == 1) return;
  int64_t n_keys = 0;
  for_each_tile([&](const TokenTile& tile) {
    n_keys += tile.n_keys();
    return false;
  });
  share_above_ = n_keys / (kPartsOfWork * worker_.n_workers());
  for_each_tile([&](const TokenTile& tile) { return any_shared_ = tile.shared(); });
}

/// One task a tile of tokens, then one a piece of those that are shared: the small ones come last,
/// so that all workers end together.
void Absorbed::attend_all() noexcept {
  parallel_for_tiles([](const TokenTile& tile) { return tile.shared() ? 0 : 1; },
                     [&](const TokenTile& tile, int) { attend(tile); });
  if (!any_shared_) return;
  parallel_for_tiles(
      [](const TokenTile& tile) { return tile.shared() ? n_pieces(tile.last_position()) : 0; },
      [&](const TokenTile& tile, int piece) {
        const Tile memory = lay_out_tile(worker_.scratch() + kMatmulScratchBytes, d_);
        attend_piece(tile, piece, memory.storage, part(piece, static_cast<size_t>(tile.shared_at)));
      });
}

/// Joins the pieces of each row, in their order, as attend() does.
void Absorbed::merge_parts() noexcept {
  const size_t rank = static_cast<size_t>(d_.rank);
  const auto n_rows = [&](const TokenTile& tile) { return tile.n_tokens * d_.n_heads; };
  const auto n_tasks = [&](const TokenTile& tile) {
    return tile.shared() ? (n_rows(tile) + kMergedRows - 1) / kMergedRows : 0;
  };
  parallel_for_tiles(n_tasks, [&](const TokenTile& tile, int task) {
    const int begin = task * kMergedRows, end = std::min(begin + kMergedRows, n_rows(tile));
    float* o = s_.o + row(tile.first_token, begin) * rank;
    for (int i = begin; i < end; ++i, o += rank) {
      const auto shared_row = static_cast<size_t>(tile.shared_at + i);
      const SoftmaxState all = part(0, shared_row);
      for (int piece = 1; piece < n_pieces(tile.last_position()); ++piece)
        add_piece(kernels_, all, 0, part(piece, shared_row), 0);
      kernels_.scale_f32(1.0f / all.l[0], all.o, o, d_.rank);
    }
  });
}

void Absorbed::project_outputs() noexcept {
  const size_t rank = static_cast<size_t>(d_.rank);
  observe_heads(run_.in[2], s_.o, rank);
  const QuantizedRows o = quantized_rows(s_.o_quantized, run_.in[2]);
  if (o.q != nullptr) {
    worker_.parallel_for(n_, [&](int t) {
      kernels_.quantize_rows(s_.o + row(first_ + t, 0) * rank, rank, d_.n_heads, o, t * d_.n_heads);
    });
    worker_.barrier();
  }
  worker_.parallel_for(d_.n_heads, [&](int h) {
    MatmulArgs args = head_matmul(run_.in[2], h);
    args.x = s_.o + static_cast<size_t>(h) * rank;
    args.x_stride = rank * static_cast<size_t>(d_.n_heads);
    args.y = run_.out_row(first_) + h * d_.v;
    args.y_stride = static_cast<size_t>(run_.out.cols());
    args.row_end = d_.v;
    multiply_head(args, o, h);
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
  choose_sharing();
  attend_all();
  worker_.barrier();
  if (any_shared_) {
    merge_parts();
    worker_.barrier();
  }
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

size_t absorbed_worker_bytes(const MlaDims& d, int max_tokens) noexcept {
  // The products before and after attention use the same memory: for oneDNN's tiles, or for sums.
  return std::max({lay_out_tile(nullptr, d).bytes, onednn_scratch_bytes(std::max(d.nope, d.rank)),
                   rest_sums_bytes(tokens_at_a_time(d, max_tokens))});
}

}  // namespace minke::cpu
