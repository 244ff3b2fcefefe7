#include <fmt/format.h>

#include <array>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

#include "apps/info_report.h"
#include "runtime/utf8.h"

namespace minke::apps {
namespace {

using Json = nlohmann::ordered_json;

/// "10.36 GB": powers of 1000, as file sizes are told.
std::string human_bytes(uint64_t bytes) {
  static constexpr std::array kUnits = {"B", "kB", "MB", "GB", "TB", "PB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 1000 && unit + 1 < kUnits.size(); ++unit) value /= 1000;
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.2f} {}", value, kUnits[unit]);
}

/// A float as JSON: 1e-06, not the double that is nearest to it, 9.999999974752427e-07.
Json number(float value) { return std::stod(fmt::format("{}", value)); }

std::string human_count(uint64_t n) {
  const auto value = static_cast<double>(n);
  if (n >= 1'000'000'000) return fmt::format("{:.2f} billion", value / 1e9);
  if (n >= 1'000'000) return fmt::format("{:.2f} million", value / 1e6);
  return std::to_string(n);
}

/// Lines of "name  value" with the names in a column.
class Lines {
 public:
  template <class... Args>
  void add(std::string_view name, fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(text_), "{:<16}", name);
    fmt::format_to(std::back_inserter(text_), format, std::forward<Args>(args)...);
    text_ += '\n';
  }
  void raw(std::string_view text) { text_ += text; }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

void add_experts(Lines& lines, const deepseek2::Config& c) {
  if (c.n_experts == 0) return;
  lines.add("experts", "{} routed of width {}, {} used a token, {} shared", c.n_experts,
            c.expert_ff, c.n_experts_used, c.n_shared_experts);
  lines.add(
      "routing", "softmax, {}weights {}times {:g}",
      c.n_expert_groups == 1
          ? "greedy, "
          : fmt::format("best {} of {} groups{}, ", c.n_expert_groups_used, c.n_expert_groups,
                        c.expert_groups_guessed ? " (not in the file: known of this model)" : ""),
      c.expert_weights_norm ? "normalised, " : "", c.expert_weights_scale);
}

void add_config(Lines& lines, const deepseek2::Config& c) {
  lines.add("layers", "{}, of them {} dense", c.n_layers, c.n_dense_layers);
  lines.add("hidden size", "{}", c.hidden);
  if (c.n_dense_layers > 0) lines.add("dense width", "{}", c.dense_ff);
  lines.add("attention", "{} heads, query and key {} + {} rotated, value {}", c.n_heads,
            c.qk_nope_dim, c.qk_rope_dim, c.v_dim);
  lines.add("latent", "{} + {} values a token and layer{}", c.kv_lora_rank, c.qk_rope_dim,
            c.q_lora_rank > 0 ? fmt::format("; query rank {}", c.q_lora_rank) : "");
  add_experts(lines, c);
  lines.add("positions", "base {:g}{}", c.rope_theta,
            c.yarn_factor > 1 ? fmt::format(", YaRN factor {:g} from {} tokens", c.yarn_factor,
                                            c.yarn_original_ctx)
                              : "");
  lines.add("context", "{} tokens", c.n_ctx_train);
  lines.add("vocabulary", "{} rows", c.n_vocab);
}

void add_text(Lines& lines, const InfoReport& report) {
  if (report.tokenizer) {
    const auto& t = *report.tokenizer;
    std::string special;
    for (const auto& token : t.special) {
      special += fmt::format(", {} {} '{}'", token.role, token.id, printable(token.text));
    }
    lines.add("tokenizer", "{} {}, {} tokens, {} merges{}", printable(t.model), printable(t.pre),
              t.n_tokens, t.n_merges, special);
  } else {
    lines.add("tokenizer", "not in the file");
  }
  const auto& chat_template = report.chat_template;
  lines.add(
      "chat template", "{}",
      chat_template.name.empty() ? printable(chat_template.problem, 500) : chat_template.name);
  std::string sampling;
  for (const SamplingDefault& value : report.sampling.shown) {
    sampling += fmt::format("{}{} {:g} ({})", sampling.empty() ? "" : ", ", value.name, value.value,
                            to_string(value.source));
  }
  lines.add("sampling", "{}", sampling);
}

void add_tables(Lines& lines, const InfoReport& report) {
  if (!report.types.empty()) {
    lines.raw(fmt::format("\n{:<10}{:>9}{:>18}{:>14}{:>9}\n", "type", "tensors", "values", "size",
                          "share"));
    for (const auto& type : report.types) {
      lines.raw(fmt::format(
          "{:<10}{:>9}{:>18}{:>14}{:>8.1f}%\n", dtype_name(type.dtype), type.n_tensors,
          type.n_values, human_bytes(type.n_bytes),
          100.0 * static_cast<double>(type.n_bytes) / static_cast<double>(report.n_weight_bytes)));
    }
    for (const auto& type : report.types) {
      if (!is_own_format(type.dtype)) continue;
      lines.raw(fmt::format("{} is a type of Minke's own: no other program reads it.\n",
                            dtype_name(type.dtype)));
    }
  }
  lines.raw(fmt::format("\nMemory for the context, beside the weights:\n{:>9}", "tokens"));
  for (const CacheType type : cache_types())
    lines.raw(fmt::format("{:>11}", cache_type_name(type)));
  lines.raw("\n");
  for (const auto& context : report.contexts) {
    lines.raw(fmt::format("{:>9}", context.n_tokens));
    for (const uint64_t bytes : context.bytes) lines.raw(fmt::format("{:>11}", human_bytes(bytes)));
    lines.raw("\n");
  }
}

Json config_json(const deepseek2::Config& c) {
  Json json = {
      {"layers", c.n_layers},
      {"dense_layers", c.n_dense_layers},
      {"context", c.n_ctx_train},
      {"hidden", c.hidden},
      {"dense_ff", c.dense_ff},
      {"heads", c.n_heads},
      {"vocab", c.n_vocab},
      {"rms_eps", number(c.rms_eps)},
      {"q_lora_rank", c.q_lora_rank},
      {"kv_lora_rank", c.kv_lora_rank},
      {"qk_nope_dim", c.qk_nope_dim},
      {"qk_rope_dim", c.qk_rope_dim},
      {"v_dim", c.v_dim},
      {"attention_scale", number(c.attention_scale())},
      {"experts", c.n_experts},
      {"experts_used", c.n_experts_used},
      {"shared_experts", c.n_shared_experts},
      {"expert_ff", c.expert_ff},
      {"expert_groups", c.n_expert_groups},
      {"expert_groups_used", c.n_expert_groups_used},
      {"expert_groups_guessed", c.expert_groups_guessed},
      {"expert_weights_scale", number(c.expert_weights_scale)},
      {"expert_weights_norm", c.expert_weights_norm},
      {"rope_theta", number(c.rope_theta)},
      {"yarn_factor", number(c.yarn_factor)},
      {"yarn_original_context", c.yarn_original_ctx},
      {"yarn_log_multiplier", number(c.yarn_log_multiplier)},
      {"yarn_beta_fast", number(c.yarn_beta_fast)},
      {"yarn_beta_slow", number(c.yarn_beta_slow)},
  };
  return json;
}

Json tables_json(const InfoReport& report) {
  Json types = Json::array();
  for (const auto& type : report.types) {
    types.push_back({{"type", dtype_name(type.dtype)},
                     {"tensors", type.n_tensors},
                     {"values", type.n_values},
                     {"bytes", type.n_bytes}});
  }
  Json contexts = Json::array();
  for (const auto& context : report.contexts) {
    Json row = {{"tokens", context.n_tokens}};
    for (size_t i = 0; i < context.bytes.size(); ++i)
      row[fmt::format("{}_bytes", cache_type_name(cache_types()[i]))] = context.bytes[i];
    contexts.push_back(std::move(row));
  }
  return {{"tensor_types", std::move(types)}, {"context_memory", std::move(contexts)}};
}

Json text_json(const InfoReport& report) {
  Json json = {{"tokenizer", nullptr}, {"sampling", Json::object()}};
  if (report.tokenizer) {
    const auto& t = *report.tokenizer;
    Json special = Json::object();
    for (const auto& token : t.special) {
      special[std::string(token.role)] = {{"id", token.id}, {"text", token.text}};
    }
    json["tokenizer"] = {{"model", t.model},
                         {"pre", t.pre},
                         {"tokens", t.n_tokens},
                         {"merges", t.n_merges},
                         {"special", std::move(special)}};
  }
  const auto& chat_template = report.chat_template;
  json["chat_template"] = {{"name", nullptr}, {"problem", nullptr}, {"text", chat_template.text}};
  auto& named = json["chat_template"];
  if (chat_template.name.empty()) {
    named["problem"] = chat_template.problem;
  } else {
    named["name"] = chat_template.name;
  }
  for (const SamplingDefault& value : report.sampling.shown) {
    json["sampling"][std::string(value.name)] = {{"value", value.value},
                                                 {"source", to_string(value.source)}};
  }
  return json;
}

}  // namespace

std::string info_text(const InfoReport& report) {
  Lines lines;
  lines.add("file", "{}", printable(report.path, 4096));
  lines.add("size", "{}{}", human_bytes(report.file_bytes),
            report.n_parts > 1 ? fmt::format(" in {} files", report.n_parts) : "");
  if (!report.name.empty()) lines.add("name", "{}", printable(report.name, 200));
  lines.add("architecture", "deepseek2");
  if (report.n_values > 0) {
    lines.add("weights", "{}, {:.2f} bits each on average", human_count(report.n_values),
              report.bits_per_weight());
  } else {
    lines.add("weights", "none in the file");
  }
  add_config(lines, report.config);
  add_text(lines, report);
  add_tables(lines, report);
  return lines.take();
}

std::string info_json(const InfoReport& report) {
  Json json = {{"file", report.path},
               {"bytes", report.file_bytes},
               {"parts", report.n_parts},
               {"name", report.name},
               {"architecture", "deepseek2"},
               {"weights", report.n_values},
               {"weight_bytes", report.n_weight_bytes},
               {"bits_per_weight", report.bits_per_weight()},
               {"config", config_json(report.config)}};
  json.update(tables_json(report));
  json.update(text_json(report));
  // A file's strings may not be UTF-8; JSON must be.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace minke::apps
