// Runs a long text through a model in chunks that do not see each other: what perplexity and
// importance matrices are measured on.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "models/runner.h"

namespace minke {

/// The tokens of a text cut into chunks of n_ctx; what is left over at its end is not used. The
/// second half of each chunk is scored, so that every prediction has at least half a chunk before
/// it: this is how llama.cpp counts, and figures are comparable only between equal ways.
struct ChunkedText {
  int n_ctx = 0;
  std::vector<TokenId> tokens;  ///< (n_chunks, n_ctx), as in the text.

  int n_chunks() const noexcept { return static_cast<int>(tokens.size()) / n_ctx; }
  /// Predictions that are scored in a chunk: those of its last n_scored tokens.
  int n_scored() const noexcept { return n_ctx - 1 - n_ctx / 2; }
  std::span<const TokenId> chunk(int i) const noexcept {
    const auto n = static_cast<size_t>(n_ctx);
    return std::span(tokens).subspan(static_cast<size_t>(i) * n, n);
  }
  /// Keeps the first max_chunks; -1: all.
  void keep(int max_chunks);
  /// The token that scored prediction `index` of a chunk is about.
  TokenId target(int i, int index) const noexcept {
    return chunk(i)[static_cast<size_t>(n_ctx / 2 + index + 1)];
  }
};

constexpr int kMinChunkTokens = 4;

/// Cuts a text, at most max_chunks of it (-1: all). BOS comes first where the model wants it.
/// Errors: kUsage (n_ctx below kMinChunkTokens; not one whole chunk, with both numbers).
Result<ChunkedText> cut_into_chunks(const Tokenizer& tokenizer, std::string_view text, int n_ctx,
                                    int max_chunks);

/// Where the model wants BOS, it takes the place of each chunk's first token. Not thread-safe.
class ChunkRunner {
 public:
  /// `model`, `backend` and `text` outlive the runner. As many chunks run at a time as n_batch
  /// tokens hold. Errors: those of Runner::create.
  static Result<ChunkRunner> create(const Model& model, Backend& backend, const ChunkedText& text,
                                    int n_batch, CacheType cache_type);

  /// One scored prediction: logits (n_vocab) after token n_ctx / 2 + index of a chunk.
  using Visit = std::function<Status(int chunk, int index, std::span<const float> logits)>;

  int chunks_at_a_time() const noexcept { return n_sequences_; }
  /// The chunks that follow those of the last call, up to chunks_at_a_time(). `visit` is called for
  /// every scored prediction, in order within a chunk; its error ends the run, and so does a no of
  /// `watch` (kCancelled). Gives how many chunks are done in all. Errors: those of Runner::forward
  /// and of `visit`.
  Result<int> run_next(const Visit& visit, const StepWatch& watch = {});

 private:
  ChunkRunner(const ChunkedText& text, std::unique_ptr<Runner> runner, int n_sequences)
      : text_(&text), runner_(std::move(runner)), n_sequences_(n_sequences) {}
  Status run_positions(std::span<const Runner::Item> chunks, int begin, int end, bool scored,
                       const Visit& visit, const StepWatch& watch);

  const ChunkedText* text_;
  std::unique_ptr<Runner> runner_;
  int n_sequences_;
  int n_done_ = 0;
};

}  // namespace minke
