// config.json and generation_config.json of a DeepSeek-V2 checkpoint.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "runtime/result.h"

namespace minke::convert {

/// How RoPE is stretched: YaRN, arXiv 2309.00071.
struct HfYarn {
  double factor = 1.0;
  int64_t original_ctx = 0;
  double beta_fast = 32.0;
  double beta_slow = 1.0;
  double mscale_all_dim = 0.0;  ///< Equal to mscale: another ratio has no place in a GGUF file.
};

/// Hyperparameters, by the names of config.json where those are clear. Every value is in a sane
/// range, and they agree with each other.
struct HfConfig {
  std::string name;  ///< For general.name: the directory's name.
  int64_t hidden_size = 0;
  int64_t n_layers = 0;
  int64_t n_heads = 0;
  int64_t vocab_size = 0;
  int64_t n_ctx = 0;
  double rms_eps = 1e-6;
  bool tied_embeddings = false;

  int64_t q_lora_rank = 0;  ///< 0: one full query projection.
  int64_t kv_lora_rank = 0;
  int64_t qk_nope_dim = 0;  ///< Of one head.
  int64_t qk_rope_dim = 0;  ///< Of one head.
  int64_t v_dim = 0;        ///< Of one head.

  int64_t n_dense_layers = 0;
  int64_t dense_ff = 0;
  int64_t n_experts = 0;
  int64_t n_experts_used = 0;
  int64_t n_shared_experts = 0;
  int64_t expert_ff = 0;
  int64_t n_groups = 1;
  int64_t n_groups_used = 1;  ///< Equal to n_groups: all experts compete, as in greedy routing.
  double routed_scale = 1.0;
  bool norm_topk_prob = false;

  double rope_theta = 10000.0;
  std::optional<HfYarn> yarn;  ///< Absent: plain RoPE.

  /// Rows and columns that share one FP8 scale.
  int64_t fp8_block_rows = 128;
  int64_t fp8_block_cols = 128;

  std::optional<int64_t> bos_id, eos_id, pad_id;
};

/// Reads dir/config.json. Errors: kMissing, kIo, kContent, kUnsupported (another architecture, or
/// an option of this one that GGUF cannot say).
Result<HfConfig> read_hf_config(const std::filesystem::path& dir);

/// What the model's authors sample with.
struct HfGeneration {
  std::optional<double> temperature, top_p;
  std::optional<int64_t> top_k;
};

/// Reads dir/generation_config.json; nothing set if there is none, or if it says do_sample false.
Result<HfGeneration> read_hf_generation(const std::filesystem::path& dir);

}  // namespace minke::convert
