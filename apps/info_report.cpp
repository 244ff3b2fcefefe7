#include "apps/info_report.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "models/chat_template.h"
#include "runtime/input_file.h"
#include "runtime/latent_cache.h"
#include "runtime/model_ranges.h"

namespace minke::apps {
namespace {

std::vector<InfoReport::Type> types_of(const GgufFile& file) {
  std::vector<InfoReport::Type> types;
  for (const GgufTensor& tensor : file.tensors()) {
    auto type = std::ranges::find(types, tensor.desc.dtype, &InfoReport::Type::dtype);
    if (type == types.end()) type = types.insert(types.end(), {.dtype = tensor.desc.dtype});
    ++type->n_tensors;
    type->n_values += static_cast<uint64_t>(tensor.desc.shape.elements());
    type->n_bytes += tensor.data.size();
  }
  std::ranges::sort(types, std::ranges::greater{}, &InfoReport::Type::n_bytes);
  return types;
}

/// The sizes that are asked for, or a few that people use, up to the model's own.
std::vector<InfoReport::Context> contexts_of(const deepseek2::Config& config,
                                             std::span<const int64_t> wanted) {
  std::vector<int64_t> sizes(wanted.begin(), wanted.end());
  if (sizes.empty()) {
    for (const int64_t size : {4096, 16384, 65536}) {
      if (size < config.n_ctx_train) sizes.push_back(size);
    }
    sizes.push_back(config.n_ctx_train);
  }
  std::vector<InfoReport::Context> contexts;
  for (const int64_t size : sizes) {
    InfoReport::Context& context =
        contexts.emplace_back(InfoReport::Context{.n_tokens = size, .bytes = {}});
    for (const CacheType type : cache_types())
      context.bytes.push_back(LatentCache::bytes_for({.n_layers = config.n_layers,
                                                      .n_latent = config.kv_lora_rank,
                                                      .n_rotated = config.qk_rope_dim,
                                                      .type = type},
                                                     size));
  }
  return contexts;
}

Result<std::optional<InfoReport::TokenizerSummary>> tokenizer_of(const GgufFile& file) {
  if (!file.has("tokenizer.ggml.tokens")) return std::nullopt;
  InfoReport::TokenizerSummary summary;
  MINKE_ASSIGN(summary.model, file.get_string_or("tokenizer.ggml.model", ""));
  MINKE_ASSIGN(summary.pre, file.get_string_or("tokenizer.ggml.pre", ""));
  MINKE_ASSIGN(const auto tokens, file.get_strings("tokenizer.ggml.tokens", ranges::kVocab));
  summary.n_tokens = tokens.size();
  if (file.has("tokenizer.ggml.merges")) {
    MINKE_ASSIGN(const auto merges, file.get_strings("tokenizer.ggml.merges", ranges::kMerges));
    summary.n_merges = merges.size();
  }
  for (const std::string_view role : {"bos", "eos", "padding"}) {
    const std::string key = fmt::format("tokenizer.ggml.{}_token_id", role);
    if (!file.has(key)) continue;
    MINKE_ASSIGN(const uint64_t id, file.get_uint(key));
    if (id >= tokens.size()) {
      return fail(Errc::kContent, "{}: key '{}': beyond the vocabulary (got {}, allowed 0 to {})",
                  printable_path(file.path()), key, id, tokens.size() - 1);
    }
    summary.special.push_back({role, id, std::string(tokens[id])});
  }
  return summary;
}

Result<InfoReport::Template> template_of(const GgufFile& file) {
  InfoReport::Template result;
  MINKE_ASSIGN(result.text, file.get_string_or("tokenizer.chat_template", ""));
  const auto known = ChatTemplate::from_gguf(file);
  if (known) {
    result.name = known->name();
  } else {
    result.problem = known.error().message;
    // Who reads the report knows which file it is about.
    const std::string prefix = printable_path(file.path()) + ": ";
    if (result.problem.starts_with(prefix)) result.problem.erase(0, prefix.size());
  }
  return result;
}

}  // namespace

double InfoReport::bits_per_weight() const noexcept {
  if (n_values == 0) return 0;
  return static_cast<double>(n_weight_bytes) * 8 / static_cast<double>(n_values);
}

Result<InfoReport> make_info(const GgufFile& file, std::span<const int64_t> contexts) {
  InfoReport report;
  report.path = file.path().string();
  report.file_bytes = file.file_bytes();
  MINKE_ASSIGN(report.config, deepseek2::read_config(file));
  MINKE_ASSIGN(report.name, file.get_string_or("general.name", ""));
  for (const GgufTensor& tensor : file.tensors()) {
    report.n_parts = std::max(report.n_parts, tensor.part + 1);
  }
  report.types = types_of(file);
  for (const InfoReport::Type& type : report.types) {
    report.n_values += type.n_values;
    report.n_weight_bytes += type.n_bytes;
  }
  report.contexts = contexts_of(report.config, contexts);
  MINKE_ASSIGN(report.sampling, sampling_defaults(file));
  MINKE_ASSIGN(report.tokenizer, tokenizer_of(file));
  MINKE_ASSIGN(report.chat_template, template_of(file));
  return report;
}

}  // namespace minke::apps
