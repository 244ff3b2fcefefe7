// Hyperparameters of a DeepSeek-V2 model, as GGUF's deepseek2.* keys give them.
#pragma once

#include <cstdint>

#include "runtime/gguf_reader.h"
#include "runtime/result.h"

namespace minke::deepseek2 {

enum class ExpertGating { kSoftmax = 1, kSigmoid = 2 };

struct Config {
  int n_layers = 0;
  int n_ctx_train = 0;
  int hidden = 0;
  int n_heads = 0;
  int n_vocab = 0;
  float rms_eps = 1e-6f;

  // Multi-head latent attention; dimensions of one head.
  int q_lora_rank = 0;  ///< 0: one full query projection.
  int kv_lora_rank = 0;
  int qk_nope_dim = 0;
  int qk_rope_dim = 0;
  int v_dim = 0;

  // Feed-forward.
  int n_dense_layers = 0;  ///< The first layers are dense.
  int dense_ff = 0;
  int n_experts = 0;
  int n_experts_used = 0;
  int n_shared_experts = 0;
  int expert_ff = 0;
  int n_expert_groups = 1;
  int n_expert_groups_used = 1;
  bool expert_groups_guessed = false;  ///< The file lacks the keys; told to the user.
  float expert_weights_scale = 1.0f;
  bool expert_weights_norm = false;
  ExpertGating gating = ExpertGating::kSoftmax;

  // Rotary positions; factor 1 means no YaRN.
  float rope_theta = 10000.0f;
  float yarn_factor = 1.0f;
  int yarn_original_ctx = 0;
  float yarn_log_multiplier = 0.0f;  ///< 0.1 * mscale_all_dim
  float yarn_beta_fast = 32.0f;
  float yarn_beta_slow = 1.0f;

  int qk_dim() const noexcept { return qk_nope_dim + qk_rope_dim; }
  /// Values a token keeps in the cache, a layer: c_kv and k_pe.
  int latent_dim() const noexcept { return kv_lora_rank + qk_rope_dim; }
  /// Softmax scale, with YaRN's m^2 (YaRN, arXiv 2309.00071, section 3.4).
  float attention_scale() const noexcept;
};

/// Reads and checks every value's range and the values against each other. Errors: kContent,
/// kUnsupported (another architecture, sigmoid routing, rope scaling other than YaRN).
Result<Config> read_config(const GgufFile& file);

}  // namespace minke::deepseek2
