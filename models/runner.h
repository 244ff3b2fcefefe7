// Runs tokens of several sequences through the model: one forward pass over the latent cache.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "models/model.h"
#include "runtime/backend.h"
#include "runtime/latent_cache.h"
#include "runtime/result.h"

namespace minke {

struct RunnerConfig {
  int n_ctx = 0;        ///< Tokens of one sequence; 0: the model's, as memory allows.
  int n_sequences = 1;  ///< Sequences that the cache has room for.
  int n_batch = 512;    ///< Tokens of one pass at most.
  int max_outputs = 0;  ///< Logits of one pass; 0: one a sequence, or a few more.
  CacheType cache_type = kDefaultCacheType;
};

/// Not thread-safe.
class Runner {
 public:
  /// New tokens of one sequence, at the positions after those it holds in the cache.
  struct Item {
    LatentCache::Sequence sequence;
    std::span<const TokenId> tokens;
    int n_outputs = 0;  ///< Logits of so many of the last tokens.
    /// Attention treats each token as a step of its own would, where it may choose its form or the
    /// order of its sums by the number of tokens; so the results are those of reading them one by
    /// one, to the bit.
    bool one_by_one = false;
  };

  /// `model` and `backend` outlive the runner. Errors: kMemory, kUsage, kUnsupported, kShape.
  static Result<std::unique_ptr<Runner>> create(const Model& model, Backend& backend,
                                                const RunnerConfig& config);

  /// All items' tokens together are at most n_batch, their outputs at most max_outputs(). Gives the
  /// logits (outputs, n_vocab), in order, valid until the next call. Errors: kMemory (the cache is
  /// full), kContent (NaN or infinity; with the layer where it began, unless an item is one_by_one:
  /// then the step can be run again without guesses), kCancelled (by the watcher), those of the
  /// backend; the cache is as before the call then.
  Result<std::span<const float>> forward(std::span<const Item> items, const StepWatch& watch = {});

  LatentCache& cache() noexcept { return *cache_; }
  const LatentCache& cache() const noexcept { return *cache_; }
  const Model& model() const noexcept { return *model_; }
  Backend& backend() noexcept { return *backend_; }
  /// Tokens that the sequences hold in the cache; a token that several share counts for each.
  int cached_tokens() const noexcept { return cache_->total_length(); }
  int n_ctx() const noexcept { return config_.n_ctx; }
  int n_batch() const noexcept { return config_.n_batch; }
  int max_outputs() const noexcept { return graph_.max_outputs(); }
  /// Bytes for temporaries.
  size_t scratch_bytes() const noexcept { return plan_->scratch_bytes(); }

 private:
  Runner(const Model& model, Backend& backend, const RunnerConfig& config, Graph graph);
  Status gather(std::span<const Item> items);
  void forget(std::span<const Item> items);
  Error locate_non_finite(const Step& step);

  const Model* model_;
  Backend* backend_;
  RunnerConfig config_;
  std::unique_ptr<LatentCache> cache_;
  Graph graph_;
  std::unique_ptr<Plan> plan_;
  // The step being put together; kept so that a pass allocates nothing.
  std::vector<int32_t> tokens_, positions_, output_rows_;
  std::vector<SequenceSlice> slices_;
  std::vector<int> lengths_;  ///< Of the items' sequences, before.
};

}  // namespace minke
