#include "models/runner.h"

#include <algorithm>
#include <cmath>

#include "models/deepseek2/graph.h"
#include "runtime/input_file.h"
#include "runtime/model_ranges.h"
#include "runtime/system.h"

namespace minke {
namespace {

constexpr int kMinOutputs = 16;

LatentCache::Config cache_config(const Model& model, const RunnerConfig& config) {
  const int64_t blocks =
      (int64_t{config.n_ctx} + LatentCache::kBlockTokens - 1) / LatentCache::kBlockTokens;
  return {.n_layers = model.config().n_layers,
          .n_latent = model.config().kv_lora_rank,
          .n_rotated = model.config().qk_rope_dim,
          .type = config.cache_type,
          .n_blocks = static_cast<int>(blocks * config.n_sequences)};
}

/// The model's context, or what three quarters of the available memory hold.
int default_context(const Model& model, const RunnerConfig& config) {
  const auto free_bytes = static_cast<double>(available_memory_bytes());
  RunnerConfig one_block = config;
  one_block.n_ctx = LatentCache::kBlockTokens;
  const size_t block_bytes =
      LatentCache::bytes_for(cache_config(model, one_block), LatentCache::kBlockTokens);
  const double blocks = 0.75 * free_bytes / static_cast<double>(block_bytes) / config.n_sequences;
  const double tokens = std::max(blocks, 1.0) * LatentCache::kBlockTokens;
  return static_cast<int>(std::min<double>(model.config().n_ctx_train, tokens));
}

Status check(const RunnerConfig& config) {
  if (config.n_ctx < 0 || config.n_ctx > ranges::kContext.high)
    return fail(Errc::kUsage,
                "a context of {} tokens is impossible: use 1 to {}, or 0 for the "
                "model's",
                config.n_ctx, ranges::kContext.high);
  if (config.n_batch < 1 || config.n_batch > 65536)
    return fail(Errc::kUsage, "a batch of {} tokens is impossible: use 1 to 65536", config.n_batch);
  if (config.n_sequences < 1 || config.n_sequences > 1024)
    return fail(Errc::kUsage, "{} sequences are impossible: use 1 to 1024", config.n_sequences);
  if (config.n_batch < config.n_sequences)
    return fail(Errc::kUsage, "a batch of {} tokens is too small for {} sequences", config.n_batch,
                config.n_sequences);
  constexpr int64_t kMaxCachedTokens = int64_t{1} << 32;
  if (int64_t{config.n_ctx} * config.n_sequences > kMaxCachedTokens)
    return fail(Errc::kUsage, "{} sequences of {} tokens are impossible", config.n_sequences,
                config.n_ctx);
  return {};
}

}  // namespace

Runner::Runner(const Model& model, Backend& backend, const RunnerConfig& config, Graph graph)
    : model_(&model), backend_(&backend), config_(config), graph_(std::move(graph)) {}

Result<std::unique_ptr<Runner>> Runner::create(const Model& model, Backend& backend,
                                               const RunnerConfig& wanted) {
  MINKE_TRY(check(wanted));
  RunnerConfig config = wanted;
  if (config.n_ctx == 0) config.n_ctx = default_context(model, config);
  const int max_outputs = std::max({config.max_outputs, config.n_sequences, kMinOutputs});
  MINKE_ASSIGN(Graph graph, deepseek2::build_graph(model.config(), model.weights(), config.n_batch,
                                                   max_outputs));
  std::unique_ptr<Runner> runner(new Runner(model, backend, config, std::move(graph)));
  MINKE_ASSIGN(runner->cache_, LatentCache::create(cache_config(model, config), backend));
  MINKE_ASSIGN(runner->plan_, backend.compile(runner->graph_));
  return runner;
}

Status Runner::gather(std::span<const Item> items) {
  tokens_.clear();
  positions_.clear();
  output_rows_.clear();
  slices_.clear();
  lengths_.clear();
  for (const Item& item : items) {
    const int n = static_cast<int>(item.tokens.size()), first = static_cast<int>(tokens_.size());
    MINKE_ASSIGN(const SequenceSlice added, cache_->extend(item.sequence, n));
    lengths_.push_back(added.first_position);
    const int n_slice = item.one_by_one ? 1 : n;
    for (int i = 0; i < n; i += n_slice)
      slices_.push_back({first + i, n_slice, added.first_position + i, added.blocks});
    for (int i = 0; i < n; ++i) {
      tokens_.push_back(item.tokens[static_cast<size_t>(i)]);
      positions_.push_back(added.first_position + i);
      if (i >= n - item.n_outputs) output_rows_.push_back(first + i);
    }
  }
  MINKE_CHECK(tokens_.size() <= static_cast<size_t>(config_.n_batch), "{}", tokens_.size());
  MINKE_CHECK(output_rows_.size() <= static_cast<size_t>(max_outputs()), "{}", output_rows_.size());
  return {};
}

Result<std::span<const float>> Runner::forward(std::span<const Item> items,
                                               const StepWatch& watch) {
  if (Status gathered = gather(items); !gathered) {
    forget(items);
    return tl::unexpected<Error>(std::move(gathered).error());
  }
  const Step step{tokens_, positions_,   output_rows_,
                  slices_, cache_.get(), watch ? &watch : nullptr};
  Result<std::span<const float>> logits = plan_->run(step);
  if (logits && !std::ranges::all_of(*logits, [](float x) { return std::isfinite(x); }))
    logits = tl::unexpected<Error>(
        std::ranges::any_of(items, &Item::one_by_one)
            ? Error{Errc::kContent, fmt::format("{}: a guess gives NaN or infinity",
                                                printable_path(model_->file().path()))}
            : locate_non_finite(step));
  if (!logits) forget(items);
  return logits;
}

/// Takes back what gather() added to the cache: its rows may never have been computed.
void Runner::forget(std::span<const Item> items) {
  for (size_t i = 0; i < lengths_.size(); ++i) cache_->truncate(items[i].sequence, lengths_[i]);
}

/// Runs the step again through ever more layers, to say which one is the first to go wrong.
Error Runner::locate_non_finite(const Step& step) {
  std::vector<int32_t> all_rows(step.tokens.size());
  for (size_t i = 0; i < all_rows.size(); ++i) all_rows[i] = static_cast<int32_t>(i);
  Step all = step;
  all.output_rows = all_rows;
  all.watch = nullptr;
  const std::string file = printable_path(model_->file().path());
  for (int n_layers = 0; n_layers <= model_->config().n_layers; ++n_layers) {
    Result<Graph> graph = deepseek2::build_hidden_graph(model_->config(), model_->weights(),
                                                        config_.n_batch, n_layers);
    if (!graph) return graph.error();
    Result<std::unique_ptr<Plan>> plan = backend_->compile(*graph);
    if (!plan) return plan.error();
    const Result<std::span<const float>> hidden = (*plan)->run(all);
    if (!hidden) return hidden.error();
    if (std::ranges::all_of(*hidden, [](float x) { return std::isfinite(x); })) continue;
    const std::string place =
        n_layers == 0 ? "token_embd" : fmt::format("layer blk.{}", n_layers - 1);
    return {Errc::kContent, fmt::format("{}: {} gives NaN or infinity", file, place)};
  }
  return {Errc::kContent, fmt::format("{}: output gives NaN or infinity", file)};
}

}  // namespace minke
