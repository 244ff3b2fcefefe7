#include "convert/metadata.h"

namespace minke::convert {
namespace {

constexpr uint32_t kGatingSoftmax = 1;
constexpr uint32_t kQuantizationVersion = 2;

uint32_t u32(int64_t value) { return static_cast<uint32_t>(value); }

/// Readers tell the architecture without a low-rank query by its depth, 26 or 27 layers, and
/// require the key of every other model, where 0 means none.
bool depth_implies_full_query(int64_t n_layers) { return n_layers == 26 || n_layers == 27; }

void write_general(const HfConfig& config, const HfGeneration& generation, GgufWriter& writer) {
  writer.set_string("general.architecture", "deepseek2");
  writer.set_string("general.type", "model");
  writer.set_string("general.name", config.name);
  writer.set_u32("general.quantization_version", kQuantizationVersion);
  if (generation.temperature) {
    writer.set_f32("general.sampling.temp", static_cast<float>(*generation.temperature));
  }
  if (generation.top_p) {
    writer.set_f32("general.sampling.top_p", static_cast<float>(*generation.top_p));
  }
  if (generation.top_k) writer.set_u32("general.sampling.top_k", u32(*generation.top_k));
}

void write_attention(const HfConfig& c, GgufWriter& writer) {
  writer.set_u32("deepseek2.attention.head_count", u32(c.n_heads));
  // The cache holds one latent for all heads: to a reader, one key-value head of the latent's size.
  writer.set_u32("deepseek2.attention.head_count_kv", 1);
  writer.set_f32("deepseek2.attention.layer_norm_rms_epsilon", static_cast<float>(c.rms_eps));
  if (c.q_lora_rank > 0 || !depth_implies_full_query(c.n_layers)) {
    writer.set_u32("deepseek2.attention.q_lora_rank", u32(c.q_lora_rank));
  }
  writer.set_u32("deepseek2.attention.kv_lora_rank", u32(c.kv_lora_rank));
  writer.set_u32("deepseek2.attention.key_length", u32(c.kv_lora_rank + c.qk_rope_dim));
  writer.set_u32("deepseek2.attention.value_length", u32(c.kv_lora_rank));
  writer.set_u32("deepseek2.attention.key_length_mla", u32(c.qk_nope_dim + c.qk_rope_dim));
  writer.set_u32("deepseek2.attention.value_length_mla", u32(c.v_dim));
}

void write_experts(const HfConfig& c, GgufWriter& writer) {
  writer.set_u32("deepseek2.leading_dense_block_count", u32(c.n_dense_layers));
  writer.set_u32("deepseek2.expert_count", u32(c.n_experts));
  writer.set_u32("deepseek2.expert_used_count", u32(c.n_experts_used));
  writer.set_u32("deepseek2.expert_shared_count", u32(c.n_shared_experts));
  writer.set_u32("deepseek2.expert_feed_forward_length", u32(c.expert_ff));
  writer.set_f32("deepseek2.expert_weights_scale", static_cast<float>(c.routed_scale));
  writer.set_bool("deepseek2.expert_weights_norm", c.norm_topk_prob);
  writer.set_u32("deepseek2.expert_gating_func", kGatingSoftmax);
  // Using all groups is the same as having one; some readers refuse the former.
  const bool limited = c.n_groups_used < c.n_groups;
  writer.set_u32("deepseek2.expert_group_count", limited ? u32(c.n_groups) : 1);
  writer.set_u32("deepseek2.expert_group_used_count", limited ? u32(c.n_groups_used) : 1);
}

void write_rope(const HfConfig& c, GgufWriter& writer) {
  writer.set_u32("deepseek2.rope.dimension_count", u32(c.qk_rope_dim));
  writer.set_f32("deepseek2.rope.freq_base", static_cast<float>(c.rope_theta));
  if (!c.yarn) return;
  const HfYarn& yarn = *c.yarn;
  writer.set_string("deepseek2.rope.scaling.type", "yarn");
  writer.set_f32("deepseek2.rope.scaling.factor", static_cast<float>(yarn.factor));
  writer.set_u32("deepseek2.rope.scaling.original_context_length", u32(yarn.original_ctx));
  writer.set_f32("deepseek2.rope.scaling.yarn_beta_fast", static_cast<float>(yarn.beta_fast));
  writer.set_f32("deepseek2.rope.scaling.yarn_beta_slow", static_cast<float>(yarn.beta_slow));
  // Stored with the 0.1 of m = 0.1 * mscale * ln(factor) + 1 (YaRN, section 3.4).
  writer.set_f32("deepseek2.rope.scaling.yarn_log_multiplier",
                 static_cast<float>(0.1 * yarn.mscale_all_dim));
}

void write_tokenizer(const HfTokenizer& tokenizer, GgufWriter& writer) {
  writer.set_string("tokenizer.ggml.model", "gpt2");
  writer.set_string("tokenizer.ggml.pre", tokenizer.pre);
  writer.set_strings("tokenizer.ggml.tokens", tokenizer.tokens);
  writer.set_i32s("tokenizer.ggml.token_type", tokenizer.types);
  writer.set_strings("tokenizer.ggml.merges", tokenizer.merges);
  if (tokenizer.bos_id) writer.set_u32("tokenizer.ggml.bos_token_id", u32(*tokenizer.bos_id));
  if (tokenizer.eos_id) writer.set_u32("tokenizer.ggml.eos_token_id", u32(*tokenizer.eos_id));
  if (tokenizer.pad_id) writer.set_u32("tokenizer.ggml.padding_token_id", u32(*tokenizer.pad_id));
  writer.set_bool("tokenizer.ggml.add_bos_token", tokenizer.add_bos);
  writer.set_bool("tokenizer.ggml.add_eos_token", tokenizer.add_eos);
  if (!tokenizer.chat_template.empty()) {
    writer.set_string("tokenizer.chat_template", tokenizer.chat_template);
  }
}

}  // namespace

void write_metadata(const HfConfig& config, const HfGeneration& generation,
                    const HfTokenizer& tokenizer, GgufWriter& writer) {
  write_general(config, generation, writer);
  writer.set_u32("deepseek2.block_count", u32(config.n_layers));
  writer.set_u32("deepseek2.context_length", u32(config.n_ctx));
  writer.set_u32("deepseek2.embedding_length", u32(config.hidden_size));
  writer.set_u32("deepseek2.feed_forward_length", u32(config.dense_ff));
  writer.set_u32("deepseek2.vocab_size", u32(config.vocab_size));
  write_attention(config, writer);
  write_experts(config, writer);
  write_rope(config, writer);
  write_tokenizer(tokenizer, writer);
}

}  // namespace minke::convert
