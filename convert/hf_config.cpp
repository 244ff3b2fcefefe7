#include "convert/hf_config.h"

#include <system_error>

#include "convert/file_text.h"
#include "convert/json.h"
#include "runtime/input_file.h"
#include "runtime/model_ranges.h"

namespace minke::convert {
namespace {

constexpr size_t kMaxConfigBytes = 4 << 20;

Status check_architecture(const JsonFields& fields) {
  const nlohmann::json* names = fields.find("architectures");
  const bool well_formed =
      names != nullptr && names->is_array() && names->size() == 1 && names->front().is_string();
  if (!well_formed) {
    return fields.error(Errc::kContent, "architectures", "not a list of one name");
  }
  const auto& name = names->front().get_ref<const std::string&>();
  if (name != "DeepseekV2ForCausalLM") {
    return fields.error(Errc::kUnsupported, "architectures",
                        fmt::format("got '{}', allowed DeepseekV2ForCausalLM", name.substr(0, 80)));
  }
  return {};
}

/// Options of the architecture that change what the model computes and that no file can carry.
Status check_fixed_options(const JsonFields& fields) {
  struct Fixed {
    const char* key;
    const char* allowed;
  };
  for (const auto& [key, allowed] :
       {Fixed{"hidden_act", "silu"}, Fixed{"scoring_func", "softmax"}}) {
    MINKE_ASSIGN(const std::string value, fields.get_string_or(key, allowed));
    if (value != allowed) {
      return fields.error(Errc::kUnsupported, key,
                          fmt::format("got '{}', allowed '{}'", value, allowed));
    }
  }
  for (const char* key : {"attention_bias", "mlp_bias"}) {
    MINKE_ASSIGN(const bool value, fields.get_bool_or(key, false));
    if (value) return fields.error(Errc::kUnsupported, key, "got true, allowed false");
  }
  MINKE_ASSIGN(const int64_t every, fields.get_int_or("moe_layer_freq", 1, ranges::kLayers));
  if (every != 1) {
    return fields.error(Errc::kUnsupported, "moe_layer_freq",
                        fmt::format("got {}, allowed 1", every));
  }
  return {};
}

Status read_attention(const JsonFields& fields, HfConfig& config) {
  MINKE_ASSIGN(config.n_heads, fields.get_int("num_attention_heads", ranges::kHeads));
  MINKE_ASSIGN(const int64_t kv_heads,
               fields.get_int_or("num_key_value_heads", config.n_heads, ranges::kHeads));
  if (kv_heads != config.n_heads) {
    return fields.error(
        Errc::kUnsupported, "num_key_value_heads",
        fmt::format("got {}, allowed {} as num_attention_heads has", kv_heads, config.n_heads));
  }
  MINKE_ASSIGN(config.q_lora_rank, fields.get_int_or("q_lora_rank", 0, ranges::kQueryRank));
  MINKE_ASSIGN(config.kv_lora_rank, fields.get_int("kv_lora_rank", ranges::kLatentRank));
  MINKE_ASSIGN(config.qk_nope_dim, fields.get_int("qk_nope_head_dim", ranges::kHeadDim));
  MINKE_ASSIGN(config.qk_rope_dim, fields.get_int("qk_rope_head_dim", ranges::kHeadDim));
  MINKE_ASSIGN(config.v_dim, fields.get_int("v_head_dim", ranges::kHeadDim));
  if (config.qk_rope_dim % 2 != 0) {
    return fields.error(Errc::kContent, "qk_rope_head_dim",
                        fmt::format("got {}, allowed an even number", config.qk_rope_dim));
  }
  return {};
}

Status read_groups(const JsonFields& fields, HfConfig& config) {
  MINKE_ASSIGN(const std::string method, fields.get_string_or("topk_method", "greedy"));
  if (method == "greedy") return {};  // n_group may stand in the file, but is not used
  if (method != "group_limited_greedy") {
    return fields.error(Errc::kUnsupported, "topk_method",
                        fmt::format("got '{}', allowed greedy or group_limited_greedy", method));
  }
  MINKE_ASSIGN(config.n_groups, fields.get_int("n_group", {1, config.n_experts}));
  MINKE_ASSIGN(config.n_groups_used, fields.get_int("topk_group", {1, config.n_groups}));
  if (config.n_experts % config.n_groups != 0) {
    return fields.error(Errc::kContent, "n_group",
                        fmt::format("got {}, allowed a divisor of n_routed_experts {}",
                                    config.n_groups, config.n_experts));
  }
  if (config.n_experts / config.n_groups * config.n_groups_used < config.n_experts_used) {
    return fields.error(Errc::kContent, "topk_group",
                        fmt::format("{} groups hold fewer experts than num_experts_per_tok {}",
                                    config.n_groups_used, config.n_experts_used));
  }
  return {};
}

Status read_experts(const JsonFields& fields, HfConfig& config) {
  MINKE_ASSIGN(config.dense_ff, fields.get_int("intermediate_size", ranges::kFeedForward));
  MINKE_ASSIGN(config.n_experts, fields.get_int("n_routed_experts", ranges::kExperts));
  MINKE_ASSIGN(config.n_experts_used, fields.get_int("num_experts_per_tok", {1, config.n_experts}));
  MINKE_ASSIGN(config.n_shared_experts,
               fields.get_int_or("n_shared_experts", 0, ranges::kSharedExperts));
  MINKE_ASSIGN(config.expert_ff, fields.get_int("moe_intermediate_size", ranges::kFeedForward));
  MINKE_ASSIGN(config.n_dense_layers,
               fields.get_int_or("first_k_dense_replace", 0, {0, config.n_layers}));
  MINKE_ASSIGN(config.routed_scale,
               fields.get_number_or("routed_scaling_factor", 1.0, ranges::kExpertScale));
  MINKE_ASSIGN(config.norm_topk_prob, fields.get_bool_or("norm_topk_prob", false));
  return read_groups(fields, config);
}

Status read_yarn(const JsonFields& scaling, int64_t n_ctx, HfYarn& yarn) {
  MINKE_ASSIGN(yarn.factor, scaling.get_number("factor", ranges::kYarnFactor));
  MINKE_ASSIGN(yarn.original_ctx,
               scaling.get_int_or("original_max_position_embeddings", n_ctx, ranges::kContext));
  MINKE_ASSIGN(yarn.beta_fast, scaling.get_number_or("beta_fast", 32.0, ranges::kYarnBeta));
  MINKE_ASSIGN(yarn.beta_slow, scaling.get_number_or("beta_slow", 1.0, ranges::kYarnBeta));
  // Compared as they are stored.
  if (static_cast<float>(yarn.beta_slow) >= static_cast<float>(yarn.beta_fast)) {
    return scaling.error(
        Errc::kContent, "beta_slow",
        fmt::format("got {}, allowed below beta_fast, {}", yarn.beta_slow, yarn.beta_fast));
  }
  constexpr NumberRange kMscale{1e-6, 10 * ranges::kYarnLogMultiplier.high};
  MINKE_ASSIGN(yarn.mscale_all_dim, scaling.get_number("mscale_all_dim", kMscale));
  MINKE_ASSIGN(const double mscale, scaling.get_number("mscale", kMscale));
  if (mscale != yarn.mscale_all_dim) {
    return scaling.error(
        Errc::kUnsupported, "mscale",
        fmt::format("got {}, allowed {} as mscale_all_dim has", mscale, yarn.mscale_all_dim));
  }
  return {};
}

/// Old files have rope_theta and rope_scaling {"type"}, newer ones rope_parameters {"rope_type",
/// "rope_theta"} in their place.
Status read_rope(const JsonFields& fields, HfConfig& config) {
  MINKE_ASSIGN(config.rope_theta, fields.get_number_or("rope_theta", 10000.0, ranges::kRopeTheta));
  const char* key = fields.has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  if (!fields.has(key)) return {};
  MINKE_ASSIGN(const JsonFields scaling, fields.get_object(key));
  MINKE_ASSIGN(config.rope_theta,
               scaling.get_number_or("rope_theta", config.rope_theta, ranges::kRopeTheta));
  const char* type_key = scaling.has("rope_type") ? "rope_type" : "type";
  MINKE_ASSIGN(const std::string type, scaling.get_string_or(type_key, "default"));
  if (type == "default") return {};
  if (type != "yarn") {
    return scaling.error(Errc::kUnsupported, type_key,
                         fmt::format("got '{}', allowed yarn or default", type));
  }
  return read_yarn(scaling, config.n_ctx, config.yarn.emplace());
}

Status read_fp8_blocks(const JsonFields& fields, HfConfig& config) {
  if (!fields.has("quantization_config")) return {};
  MINKE_ASSIGN(const JsonFields quantization, fields.get_object("quantization_config"));
  MINKE_ASSIGN(const std::string method, quantization.get_string("quant_method"));
  if (method != "fp8") {
    return quantization.error(Errc::kUnsupported, "quant_method",
                              fmt::format("got '{}', allowed fp8", method));
  }
  const nlohmann::json* size = quantization.find("weight_block_size");
  if (size == nullptr) return {};
  const auto is_dim = [](const nlohmann::json& n) {
    return n.is_number_unsigned() && n.get<uint64_t>() >= 1 && n.get<uint64_t>() <= 65536;
  };
  if (!size->is_array() || size->size() != 2 || !is_dim((*size)[0]) || !is_dim((*size)[1])) {
    return quantization.error(Errc::kContent, "weight_block_size",
                              "allowed two integers 1 to 65536");
  }
  config.fp8_block_rows = (*size)[0].get<int64_t>();
  config.fp8_block_cols = (*size)[1].get<int64_t>();
  return {};
}

Status read_token_id(const JsonFields& fields, const char* key, std::optional<int64_t>& id) {
  const nlohmann::json* value = fields.find(key);
  // A list names several tokens that end an answer; the tokenizer's own one is the first.
  if (value == nullptr || value->is_array()) return {};
  MINKE_ASSIGN(id, fields.get_int(key, {0, ranges::kVocab.high - 1}));
  return {};
}

std::string directory_name(const std::filesystem::path& dir) {
  std::error_code error;
  const auto full = std::filesystem::canonical(dir, error);
  return error ? dir.filename().string() : full.filename().string();
}

}  // namespace

Result<HfConfig> read_hf_config(const std::filesystem::path& dir) {
  MINKE_ASSIGN(const auto path, resolve_in(dir, "config.json"));
  MINKE_ASSIGN(const std::string text, read_text(path, kMaxConfigBytes));
  MINKE_ASSIGN(const nlohmann::json document, parse_json(text, printable_path(path)));
  MINKE_ASSIGN(const JsonFields fields, JsonFields::of(document, printable_path(path)));
  MINKE_TRY(check_architecture(fields));
  MINKE_TRY(check_fixed_options(fields));

  HfConfig config;
  config.name = directory_name(dir);
  MINKE_ASSIGN(config.hidden_size, fields.get_int("hidden_size", ranges::kHidden));
  MINKE_ASSIGN(config.n_layers, fields.get_int("num_hidden_layers", ranges::kLayers));
  MINKE_ASSIGN(config.vocab_size, fields.get_int("vocab_size", ranges::kVocab));
  MINKE_ASSIGN(config.n_ctx, fields.get_int("max_position_embeddings", ranges::kContext));
  MINKE_ASSIGN(config.rms_eps, fields.get_number_or("rms_norm_eps", 1e-6, ranges::kRmsEps));
  MINKE_ASSIGN(config.tied_embeddings, fields.get_bool_or("tie_word_embeddings", false));
  MINKE_TRY(read_attention(fields, config));
  MINKE_TRY(read_experts(fields, config));
  MINKE_TRY(read_rope(fields, config));
  MINKE_TRY(read_fp8_blocks(fields, config));
  MINKE_TRY(read_token_id(fields, "bos_token_id", config.bos_id));
  MINKE_TRY(read_token_id(fields, "eos_token_id", config.eos_id));
  MINKE_TRY(read_token_id(fields, "pad_token_id", config.pad_id));
  return config;
}

Result<HfGeneration> read_hf_generation(const std::filesystem::path& dir) {
  constexpr const char* kName = "generation_config.json";
  HfGeneration generation;
  MINKE_ASSIGN(const auto text, read_text_if_there(dir, kName, kMaxConfigBytes));
  if (!text) return generation;
  const std::string path = printable_path(dir / kName);
  MINKE_ASSIGN(const nlohmann::json document, parse_json(*text, path));
  MINKE_ASSIGN(const JsonFields fields, JsonFields::of(document, path));
  MINKE_ASSIGN(const bool samples, fields.get_bool_or("do_sample", true));
  if (!samples) {
    generation.temperature = 0.0;  // greedy
    return generation;
  }
  if (fields.has("temperature")) {
    MINKE_ASSIGN(generation.temperature, fields.get_number("temperature", {0, 100}));
  }
  if (fields.has("top_p")) {
    MINKE_ASSIGN(generation.top_p, fields.get_number("top_p", {0, 1}));
  }
  if (fields.has("top_k")) {
    MINKE_ASSIGN(generation.top_k, fields.get_int("top_k", {0, 1 << 24}));
  }
  return generation;
}

}  // namespace minke::convert
