// The bytes and products of bench_limits.h, from the model's own tensors.
#include <algorithm>
#include <cmath>

#include "apps/bench_limits.h"
#include "models/deepseek2/weights.h"

namespace minke::apps {
namespace {

using deepseek2::Config;
using deepseek2::LayerWeights;
using deepseek2::MlpWeights;
using deepseek2::Weight;

/// Adds up weights that are read once a pass and multiplied once a token.
class Sum {
 public:
  explicit Sum(double n_tokens) : n_tokens_(n_tokens) {}

  void add(const Weight& w) { add_part(w, 1, 1); }
  void add(const MlpWeights& mlp) {
    for (const Weight* w : {&mlp.gate, &mlp.up, &mlp.down}) add(*w);
  }
  /// `read`: the part of the weight that a pass reads; `used`: the part that a token multiplies.
  void add_part(const Weight& w, double read, double used) {
    if (!w) return;
    cost.bytes += read * static_cast<double>(w.desc.bytes());
    if (w.desc.shape.rank() < 2) return;  // norms
    cost.int8_ops += 2 * used * n_tokens_ * static_cast<double>(w.desc.shape.elements());
  }

  TestCost cost;

 private:
  double n_tokens_;
};

void add_layer(const LayerWeights& layer, const Config& config, double n_tokens, Sum& sum) {
  for (const Weight* w :
       {&layer.attn_norm, &layer.ffn_norm, &layer.q, &layer.q_a, &layer.q_a_norm, &layer.q_b,
        &layer.kv_a, &layer.kv_a_norm, &layer.k_b, &layer.v_b, &layer.attn_out, &layer.router})
    sum.add(*w);
  sum.add(layer.mlp);
  if (!layer.experts.gate) return;
  const double used = static_cast<double>(config.n_experts_used) / config.n_experts;
  const double read = 1 - std::pow(1 - used, n_tokens);
  for (const Weight* w : {&layer.experts.gate, &layer.experts.up, &layer.experts.down})
    sum.add_part(*w, read, used);
}

/// One layer's scores and weighted sums: absorbed or rebuilt, whichever multiplies less. What k_b
/// and v_b do for the new tokens is counted with the weights.
double attention_ops(const Config& config, double n_past, double n_tokens) {
  const double pairs = n_tokens * n_past + n_tokens * (n_tokens + 1) / 2;
  const double heads = config.n_heads;
  const double absorbed = pairs * heads * (config.latent_dim() + config.kv_lora_rank);
  const double rebuild = n_past * heads * config.kv_lora_rank * (config.qk_nope_dim + config.v_dim);
  const double rebuilt = pairs * heads * (config.qk_dim() + config.v_dim) + rebuild;
  return 2 * std::min(absorbed, rebuilt);
}

}  // namespace

TestCost step_cost(const Model& model, CacheType cache_type, int n_past, int n_tokens,
                   int n_outputs, int n_sequences) {
  const Config& config = model.config();
  const deepseek2::Weights& weights = model.weights();
  const double all_tokens = static_cast<double>(n_sequences) * n_tokens;
  Sum sum(all_tokens);
  for (const LayerWeights& layer : weights.layers) add_layer(layer, config, all_tokens, sum);
  TestCost cost = sum.cost;
  cost.bytes += all_tokens * static_cast<double>(weights.token_embd.desc.row_bytes());
  if (n_outputs > 0) {
    Sum head(static_cast<double>(n_sequences) * n_outputs);
    head.add(weights.output_norm);
    head.add(weights.output);
    cost.bytes += head.cost.bytes;
    cost.int8_ops += head.cost.int8_ops;
  }
  const auto row =
      static_cast<double>(CacheRow(cache_type, config.kv_lora_rank, config.qk_rope_dim).n_bytes());
  const double layers = static_cast<double>(n_sequences) * config.n_layers;
  cost.bytes += layers * row * (static_cast<double>(n_past) + n_tokens);
  cost.int8_ops += layers * attention_ops(config, n_past, n_tokens);
  return cost;
}

TestCost test_cost(const Model& model, const BenchCase& bench_case) {
  const BenchTest& test = bench_case.test;
  TestCost total;
  const auto add = [&](int n_past, int n_tokens, int n_outputs, int n_sequences) {
    const TestCost cost =
        step_cost(model, bench_case.cache_type, n_past, n_tokens, n_outputs, n_sequences);
    total.bytes += cost.bytes;
    total.int8_ops += cost.int8_ops;
  };
  for (int i = 0; i < test.n_sequences; ++i)
    for (int done = 0; done < test.n_prompt; done += bench_case.n_batch) {
      const int now = std::min(test.n_prompt - done, bench_case.n_batch);
      add(test.n_depth + done, now, done + now == test.n_prompt ? 1 : 0, 1);
    }
  for (int i = 0; i < test.n_gen; ++i)
    add(test.n_depth + test.n_prompt + i, 1, 1, test.n_sequences);
  return total;
}

}  // namespace minke::apps
