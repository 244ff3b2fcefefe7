#include "models/deepseek2/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "runtime/input_file.h"
#include "runtime/model_ranges.h"
#include "runtime/utf8.h"

namespace minke::deepseek2 {
namespace {

constexpr std::string_view kArchitecture = "deepseek2";

/// Reads the keys of one architecture, each with its allowed range.
class KeyReader {
 public:
  explicit KeyReader(const GgufFile& file) : file_(file) {}

  static std::string key(std::string_view name) {
    return fmt::format("{}.{}", kArchitecture, name);
  }
  bool has(std::string_view name) const { return file_.has(key(name)); }

  tl::unexpected<Error> bad(std::string_view name, std::string_view reason) const {
    return fail(Errc::kContent, "{}: key '{}': {}", printable_path(file_.path()), key(name),
                reason);
  }

  /// The range's bounds fit an int.
  Status integer(std::string_view name, IntRange range, int& out) const {
    MINKE_ASSIGN(const uint64_t value, file_.get_uint(key(name)));
    if (std::cmp_less(value, range.low) || std::cmp_greater(value, range.high)) {
      return bad(name, fmt::format("out of range (got {}, allowed {} to {})", value, range.low,
                                   range.high));
    }
    out = static_cast<int>(value);
    return {};
  }
  /// Leaves `out` as it is where the file has no such key.
  Status optional_integer(std::string_view name, IntRange range, int& out) const {
    return has(name) ? integer(name, range, out) : Status{};
  }

  Status number(std::string_view name, NumberRange range, float& out) const {
    MINKE_ASSIGN(const double value, file_.get_float(key(name)));
    if (!range.contains(value)) {
      return bad(name, fmt::format("out of range (got {}, allowed {:g} to {:g})", value, range.low,
                                   range.high));
    }
    out = static_cast<float>(value);
    return {};
  }
  Status optional_number(std::string_view name, NumberRange range, float& out) const {
    return has(name) ? number(name, range, out) : Status{};
  }

  const GgufFile& file() const { return file_; }

 private:
  const GgufFile& file_;
};

Status check_architecture(const GgufFile& file) {
  MINKE_ASSIGN(const std::string_view architecture, file.get_string("general.architecture"));
  if (architecture == kArchitecture) return {};
  return fail(Errc::kUnsupported,
              "{}: key 'general.architecture': Minke does not run this architecture (got '{}', "
              "allowed '{}')",
              printable_path(file.path()), printable(architecture), kArchitecture);
}

/// Rows of the vocabulary: the key where the file has it, else the list of tokens.
Status read_vocab(const KeyReader& keys, Config& config) {
  MINKE_TRY(keys.optional_integer("vocab_size", ranges::kVocab, config.n_vocab));
  const auto entries = keys.file().entries();
  const auto tokens = std::ranges::find(entries, "tokenizer.ggml.tokens", &GgufFile::Entry::key);
  const uint64_t n_tokens =
      tokens != entries.end() && tokens->type == GgufType::kArray ? tokens->count : 0;
  if (config.n_vocab == 0) {
    if (n_tokens == 0) return keys.bad("vocab_size", "missing, and the file lists no tokens");
    if (std::cmp_greater(n_tokens, ranges::kVocab.high)) {
      return fail(Errc::kContent,
                  "{}: key 'tokenizer.ggml.tokens': too many tokens (got {}, allowed {})",
                  printable_path(keys.file().path()), n_tokens, ranges::kVocab.high);
    }
    config.n_vocab = static_cast<int>(n_tokens);
  }
  if (std::cmp_greater(n_tokens, config.n_vocab)) {
    return keys.bad("vocab_size", fmt::format("fewer than the tokens that the file lists (got {}, "
                                              "allowed {} or more)",
                                              config.n_vocab, n_tokens));
  }
  return {};
}

/// Where the *_mla keys give a head's own dimension, the plain key gives the latent's; some writers
/// repeat the head's.
Status check_absorbed_dim(const KeyReader& keys, std::string_view name, int latent, int head) {
  if (!keys.has(name)) return {};
  int value = 0;
  MINKE_TRY(keys.integer(name, {1, 2 * ranges::kLatentRank.high}, value));
  if (value == latent || value == head) return {};
  return keys.bad(name, fmt::format("does not fit the other dimensions (got {}, allowed {} or {})",
                                    value, latent, head));
}

/// Dimensions of a head. Files since April 2025 describe the absorbed form in key_length and
/// value_length and give the heads' own in the *_mla keys; older files have only the first two.
Status read_head_dims(const KeyReader& keys, Config& config) {
  const bool mla = keys.has("attention.key_length_mla");
  if (mla != keys.has("attention.value_length_mla")) {
    return keys.bad(mla ? "attention.value_length_mla" : "attention.key_length_mla",
                    "missing, though the file has the other one of the two");
  }
  const std::string_view key_name = mla ? "attention.key_length_mla" : "attention.key_length";
  const std::string_view value_name = mla ? "attention.value_length_mla" : "attention.value_length";
  int qk_dim = 0;
  MINKE_TRY(keys.integer(key_name, {3, 2 * ranges::kHeadDim.high}, qk_dim));
  MINKE_TRY(keys.integer(value_name, ranges::kHeadDim, config.v_dim));
  MINKE_TRY(keys.integer("rope.dimension_count", ranges::kHeadDim, config.qk_rope_dim));
  if (config.qk_rope_dim % 2 != 0 || config.qk_rope_dim >= qk_dim) {
    return keys.bad("rope.dimension_count",
                    fmt::format("not an even part of the head (got {}, allowed an even number "
                                "below {})",
                                config.qk_rope_dim, qk_dim));
  }
  config.qk_nope_dim = qk_dim - config.qk_rope_dim;
  if (!mla) return {};
  MINKE_TRY(check_absorbed_dim(keys, "attention.key_length", config.latent_dim(), qk_dim));
  return check_absorbed_dim(keys, "attention.value_length", config.kv_lora_rank, config.v_dim);
}

Status read_attention(const KeyReader& keys, Config& config) {
  MINKE_TRY(keys.integer("attention.head_count", ranges::kHeads, config.n_heads));
  int n_kv_heads = 1;
  MINKE_TRY(keys.optional_integer("attention.head_count_kv", ranges::kHeads, n_kv_heads));
  if (n_kv_heads != 1 && n_kv_heads != config.n_heads) {
    return keys.bad("attention.head_count_kv",
                    fmt::format("latent attention has one key a token (got {}, allowed 1 or {})",
                                n_kv_heads, config.n_heads));
  }
  MINKE_TRY(keys.number("attention.layer_norm_rms_epsilon", ranges::kRmsEps, config.rms_eps));
  MINKE_TRY(keys.optional_integer("attention.q_lora_rank", ranges::kQueryRank, config.q_lora_rank));
  MINKE_TRY(keys.integer("attention.kv_lora_rank", ranges::kLatentRank, config.kv_lora_rank));
  return read_head_dims(keys, config);
}

Status read_groups(const KeyReader& keys, Config& config) {
  if (keys.has("expert_group_count")) {
    MINKE_TRY(keys.integer("expert_group_count", {0, config.n_experts}, config.n_expert_groups));
    config.n_expert_groups = std::max(config.n_expert_groups, 1);  // 0 is written for "no groups"
    config.n_expert_groups_used = config.n_expert_groups;
    MINKE_TRY(keys.optional_integer("expert_group_used_count", {0, config.n_expert_groups},
                                    config.n_expert_groups_used));
    if (config.n_expert_groups == 1) config.n_expert_groups_used = 1;
    if (config.n_expert_groups_used == 0) {
      return keys.bad("expert_group_used_count",
                      fmt::format("out of range (got 0, allowed 1 to {})", config.n_expert_groups));
    }
  } else if (config.n_experts == 160) {
    // The 236B: its files lack the keys until 2025, its checkpoint says 8 groups, the best 3.
    config.n_expert_groups = 8;
    config.n_expert_groups_used = 3;
    config.expert_groups_guessed = true;
  }
  if (config.n_experts % config.n_expert_groups != 0) {
    return keys.bad("expert_group_count",
                    fmt::format("does not divide the experts (got {} groups of {} experts)",
                                config.n_expert_groups, config.n_experts));
  }
  const int reachable = config.n_experts / config.n_expert_groups * config.n_expert_groups_used;
  if (config.n_experts_used > reachable) {
    return keys.bad("expert_used_count", fmt::format("more than the chosen groups hold (got {}, "
                                                     "allowed {})",
                                                     config.n_experts_used, reachable));
  }
  return {};
}

Status read_gating(const KeyReader& keys, Config& config) {
  int gating = static_cast<int>(ExpertGating::kSoftmax);
  MINKE_TRY(keys.optional_integer("expert_gating_func", {0, 255}, gating));
  if (gating == static_cast<int>(ExpertGating::kSigmoid)) {
    return fail(Errc::kUnsupported,
                "{}: key '{}': sigmoid routing, as in DeepSeek-V3, is not supported yet (got 2, "
                "allowed 1, softmax)",
                printable_path(keys.file().path()), KeyReader::key("expert_gating_func"));
  }
  if (gating > static_cast<int>(ExpertGating::kSoftmax)) {  // 0 is written for "not said"
    return keys.bad("expert_gating_func",
                    fmt::format("unknown (got {}, allowed 1, softmax)", gating));
  }
  config.gating = ExpertGating::kSoftmax;
  return {};
}

Status read_experts(const KeyReader& keys, Config& config) {
  MINKE_TRY(keys.optional_integer("expert_count", {0, ranges::kExperts.high}, config.n_experts));
  if (config.n_dense_layers == config.n_layers) {
    config.n_experts = 0;
    return {};
  }
  MINKE_TRY(keys.integer("expert_count", ranges::kExperts, config.n_experts));
  MINKE_TRY(keys.integer("expert_used_count", {1, config.n_experts}, config.n_experts_used));
  MINKE_TRY(keys.integer("expert_shared_count", ranges::kSharedExperts, config.n_shared_experts));
  MINKE_TRY(keys.integer("expert_feed_forward_length", ranges::kFeedForward, config.expert_ff));
  MINKE_TRY(keys.optional_number("expert_weights_scale", ranges::kExpertScale,
                                 config.expert_weights_scale));
  MINKE_ASSIGN(config.expert_weights_norm,
               keys.file().get_bool_or(KeyReader::key("expert_weights_norm"), false));
  MINKE_TRY(read_gating(keys, config));
  return read_groups(keys, config);
}

Status read_rope(const KeyReader& keys, Config& config) {
  MINKE_TRY(keys.optional_number("rope.freq_base", ranges::kRopeTheta, config.rope_theta));
  MINKE_ASSIGN(const std::string_view type,
               keys.file().get_string_or(KeyReader::key("rope.scaling.type"), "none"));
  config.yarn_original_ctx = config.n_ctx_train;
  if (type == "none") return {};
  if (type != "yarn") {
    return fail(
        Errc::kUnsupported, "{}: key '{}': not supported (got '{}', allowed 'none' or 'yarn')",
        printable_path(keys.file().path()), KeyReader::key("rope.scaling.type"), printable(type));
  }
  MINKE_TRY(keys.number("rope.scaling.factor", ranges::kYarnFactor, config.yarn_factor));
  MINKE_TRY(keys.optional_integer("rope.scaling.original_context_length", ranges::kContext,
                                  config.yarn_original_ctx));
  MINKE_TRY(keys.optional_number("rope.scaling.yarn_log_multiplier", ranges::kYarnLogMultiplier,
                                 config.yarn_log_multiplier));
  MINKE_TRY(keys.optional_number("rope.scaling.yarn_beta_fast", ranges::kYarnBeta,
                                 config.yarn_beta_fast));
  MINKE_TRY(keys.optional_number("rope.scaling.yarn_beta_slow", ranges::kYarnBeta,
                                 config.yarn_beta_slow));
  if (config.yarn_beta_slow >= config.yarn_beta_fast) {
    return keys.bad("rope.scaling.yarn_beta_slow",
                    fmt::format("not below yarn_beta_fast (got {}, allowed below {})",
                                config.yarn_beta_slow, config.yarn_beta_fast));
  }
  return {};
}

}  // namespace

float Config::attention_scale() const noexcept {
  double m = 1.0;
  if (yarn_factor > 1.0f) {
    m = static_cast<double>(yarn_log_multiplier) * std::log(static_cast<double>(yarn_factor)) + 1.0;
  }
  return static_cast<float>(m * m / std::sqrt(static_cast<double>(qk_dim())));
}

Result<Config> read_config(const GgufFile& file) {
  MINKE_TRY(check_architecture(file));
  const KeyReader keys(file);
  Config config;
  MINKE_TRY(keys.integer("block_count", ranges::kLayers, config.n_layers));
  MINKE_TRY(keys.integer("context_length", ranges::kContext, config.n_ctx_train));
  MINKE_TRY(keys.integer("embedding_length", ranges::kHidden, config.hidden));
  MINKE_TRY(keys.optional_integer("leading_dense_block_count", {0, config.n_layers},
                                  config.n_dense_layers));
  if (config.n_dense_layers > 0) {
    MINKE_TRY(keys.integer("feed_forward_length", ranges::kFeedForward, config.dense_ff));
  }
  MINKE_TRY(read_vocab(keys, config));
  MINKE_TRY(read_attention(keys, config));
  MINKE_TRY(read_experts(keys, config));
  MINKE_TRY(read_rope(keys, config));
  return config;
}

}  // namespace minke::deepseek2
