#include "models/deepseek2/graph.h"

#include "runtime/rope.h"

namespace minke::deepseek2 {
namespace {

class Builder {
 public:
  Builder(const Config& config, const Weights& weights, int max_tokens, int max_outputs)
      : c_(config), w_(weights), g_(max_tokens, max_outputs) {}

  Result<Graph> logits() {
    const Value outputs = g_.input(StepInput::kOutputRows);
    // Only the rows whose logits are wanted go through the head.
    const Value x = norm(g_.get_rows(layers(c_.n_layers), outputs), w_.output_norm);
    MINKE_TRY(g_.finish(precise(x, w_.output)));
    return std::move(g_);
  }

  Result<Graph> hidden(int n_layers) {
    MINKE_TRY(g_.finish(layers(n_layers)));
    return std::move(g_);
  }

 private:
  /// The residual stream after n_layers layers.
  Value layers(int n_layers) {
    const Value tokens = g_.input(StepInput::kTokens);
    const Value positions = g_.input(StepInput::kPositions);
    rope_ = g_.rope_table(positions, rope_frequencies({.dim = c_.qk_rope_dim,
                                                       .theta = c_.rope_theta,
                                                       .factor = c_.yarn_factor,
                                                       .original_ctx = c_.yarn_original_ctx,
                                                       .beta_fast = c_.yarn_beta_fast,
                                                       .beta_slow = c_.yarn_beta_slow}));
    Value x = g_.get_rows(weight(w_.token_embd), tokens);
    for (int i = 0; i < n_layers; ++i) {
      const LayerWeights& layer = w_.layers[static_cast<size_t>(i)];
      g_.scope(fmt::format("blk.{}.", i));
      x = g_.add(x, attention(layer, i, norm(x, layer.attn_norm)));
      x = g_.add(x, feed_forward(layer, norm(x, layer.ffn_norm)));
    }
    g_.scope("");
    return x;
  }

  Value weight(const Weight& w) { return g_.weight(w.name, w.desc, w.data); }
  Value linear(Value x, const Weight& w, Precision precision) {
    return g_.matmul(x, weight(w), {precision});
  }
  Value precise(Value x, const Weight& w) { return linear(x, w, Precision::kHigh); }
  Value norm(Value x, const Weight& w) { return g_.rms_norm(x, weight(w), c_.rms_eps); }

  Value attention(const LayerWeights& layer, int i, Value h) {
    const Value q_full = c_.q_lora_rank == 0
                             ? precise(h, layer.q)
                             : precise(norm(precise(h, layer.q_a), layer.q_a_norm), layer.q_b);
    const Value q = g_.rope(q_full, rope_, {c_.n_heads, c_.qk_dim(), c_.qk_nope_dim});
    const Value stored = g_.latent_store(precise(h, layer.kv_a), weight(layer.kv_a_norm), rope_,
                                         {i, c_.kv_lora_rank, c_.rms_eps});
    const Value o = g_.mla_attention(q, weight(layer.k_b), weight(layer.v_b), stored,
                                     {i, c_.n_heads, c_.qk_nope_dim, c_.qk_rope_dim, c_.v_dim,
                                      c_.kv_lora_rank, c_.attention_scale()});
    return precise(o, layer.attn_out);
  }

  Value mlp(const MlpWeights& w, Value u, Precision precision) {
    const Value gate = linear(u, w.gate, precision), up = linear(u, w.up, precision);
    return linear(g_.swiglu(gate, up), w.down, precision);
  }

  Value feed_forward(const LayerWeights& layer, Value u) {
    if (!layer.router) return mlp(layer.mlp, u, Precision::kHigh);
    const Value route = g_.moe_route(
        precise(u, layer.router), {c_.n_experts_used, c_.n_expert_groups, c_.n_expert_groups_used,
                                   c_.expert_weights_scale, c_.expert_weights_norm});
    const Value routed = g_.moe_ffn(u, route, weight(layer.experts.gate), weight(layer.experts.up),
                                    weight(layer.experts.down), {c_.n_experts_used});
    // Experts, routed or shared, hardly gain from more precision (CONTRIBUTING.md).
    return layer.mlp.gate ? g_.add(routed, mlp(layer.mlp, u, Precision::kDefault)) : routed;
  }

  const Config& c_;
  const Weights& w_;
  Graph g_;
  Value rope_;
};

}  // namespace

Result<Graph> build_graph(const Config& config, const Weights& weights, int max_tokens,
                          int max_outputs) {
  return Builder(config, weights, max_tokens, max_outputs).logits();
}

Result<Graph> build_hidden_graph(const Config& config, const Weights& weights, int max_tokens,
                                 int n_layers) {
  return Builder(config, weights, max_tokens, max_tokens).hidden(n_layers);
}

}  // namespace minke::deepseek2
