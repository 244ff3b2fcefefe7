#include "models/chunks.h"

#include <algorithm>

namespace minke {
namespace {

/// Logits that wait to be scored; with a vocabulary of 100,000 tokens one row has 400 kB.
constexpr size_t kMaxLogitsBytes = size_t{128} << 20;
constexpr int kMaxSequences = 64;

}  // namespace

void ChunkedText::keep(int max_chunks) {
  if (max_chunks >= 0 && max_chunks < n_chunks())
    tokens.resize(static_cast<size_t>(max_chunks) * static_cast<size_t>(n_ctx));
}

Result<ChunkedText> cut_into_chunks(const Tokenizer& tokenizer, std::string_view text, int n_ctx,
                                    int max_chunks) {
  if (n_ctx < kMinChunkTokens)
    return fail(Errc::kUsage, "a context of {} tokens is too short: use at least {}", n_ctx,
                kMinChunkTokens);
  ChunkedText chunks{n_ctx, tokenizer.encode(text)};
  if (tokenizer.add_bos()) chunks.tokens.insert(chunks.tokens.begin(), tokenizer.bos());
  const size_t n_ctx_tokens = static_cast<size_t>(n_ctx);
  const size_t n_chunks = chunks.tokens.size() / n_ctx_tokens;
  if (n_chunks == 0)
    return fail(Errc::kUsage,
                "the text has {} tokens, too few for a context of {}: take a longer text, or "
                "a smaller -c",
                chunks.tokens.size(), n_ctx);
  chunks.tokens.resize(n_chunks * n_ctx_tokens);
  chunks.keep(max_chunks);
  return chunks;
}

Result<ChunkRunner> ChunkRunner::create(const Model& model, Backend& backend,
                                        const ChunkedText& text, int n_batch,
                                        CacheType cache_type) {
  const int n_sequences =
      std::clamp(n_batch / text.n_ctx, 1, std::min(kMaxSequences, std::max(1, text.n_chunks())));
  const size_t row_bytes = static_cast<size_t>(model.config().n_vocab) * sizeof(float);
  const int max_outputs =
      static_cast<int>(std::min(static_cast<size_t>(n_batch), kMaxLogitsBytes / row_bytes));
  MINKE_ASSIGN(auto runner, Runner::create(model, backend,
                                           {.n_ctx = text.n_ctx,
                                            .n_sequences = n_sequences,
                                            .n_batch = n_batch,
                                            .max_outputs = max_outputs,
                                            .cache_type = cache_type}));
  return ChunkRunner(text, std::move(runner), n_sequences);
}

/// Runs the tokens [begin, end) of each chunk in steps as large as fit.
Status ChunkRunner::run_positions(std::span<const Runner::Item> chunks, int begin, int end,
                                  bool scored, const Visit& visit, const StepWatch& watch) {
  const int n_chunks = static_cast<int>(chunks.size());
  const int room =
      scored ? std::min(runner_->n_batch(), runner_->max_outputs()) : runner_->n_batch();
  const int at_a_time = std::max(1, room / n_chunks);
  const size_t n_vocab = static_cast<size_t>(runner_->model().config().n_vocab);
  for (int at = begin; at < end; at += at_a_time) {
    const int n = std::min(at_a_time, end - at);
    std::vector<Runner::Item> items(chunks.begin(), chunks.end());
    for (Runner::Item& item : items) {
      item.tokens = item.tokens.subspan(static_cast<size_t>(at), static_cast<size_t>(n));
      item.n_outputs = scored ? n : 0;
    }
    MINKE_ASSIGN(std::span<const float> logits, runner_->forward(items, watch));
    for (size_t row = 0; row < logits.size() / n_vocab; ++row)
      MINKE_TRY(visit(n_done_ + static_cast<int>(row) / n, at - begin + static_cast<int>(row) % n,
                      logits.subspan(row * n_vocab, n_vocab)));
  }
  return {};
}

Result<int> ChunkRunner::run_next(const Visit& visit, const StepWatch& watch) {
  const Tokenizer& tokenizer = runner_->model().tokenizer();
  const int n = std::min(n_sequences_, text_->n_chunks() - n_done_);
  std::vector<std::vector<TokenId>> tokens;
  std::vector<Runner::Item> chunks;
  for (int i = 0; i < n; ++i) {
    const std::span<const TokenId> chunk = text_->chunk(n_done_ + i);
    tokens.emplace_back(chunk.begin(), chunk.end());
    if (tokenizer.add_bos()) tokens.back().front() = tokenizer.bos();
  }
  for (const auto& chunk : tokens) chunks.push_back({runner_->cache().add_sequence(), chunk, 0});
  // The last token predicts nothing that is in the chunk.
  const int middle = text_->n_ctx / 2, end = text_->n_ctx - 1;
  Status status = run_positions(chunks, 0, middle, false, visit, watch);
  if (status) status = run_positions(chunks, middle, end, true, visit, watch);
  for (const Runner::Item& chunk : chunks) runner_->cache().release(chunk.sequence);
  MINKE_TRY(std::move(status));
  return n_done_ += n;
}

}  // namespace minke
