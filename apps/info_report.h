// What `minke info` finds out, and its two ways to say it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "models/deepseek2/config.h"
#include "models/sampling_defaults.h"
#include "runtime/cache_row.h"
#include "runtime/gguf_reader.h"
#include "runtime/result.h"

namespace minke::apps {

struct InfoReport {
  struct Type {
    DType dtype;
    uint64_t n_tensors = 0;
    uint64_t n_values = 0;
    uint64_t n_bytes = 0;
  };
  struct Context {
    int64_t n_tokens;
    std::vector<uint64_t> bytes;  ///< For each of cache_types().
  };
  struct SpecialToken {
    std::string_view role;  ///< "bos", "eos", "padding"
    uint64_t id;
    std::string text;
  };
  struct TokenizerSummary {
    std::string model;
    std::string pre;
    uint64_t n_tokens = 0;
    uint64_t n_merges = 0;
    std::vector<SpecialToken> special;
  };
  struct Template {
    std::string text;     ///< Of the file; empty: it has none.
    std::string name;     ///< The layout that Minke will use; empty: none.
    std::string problem;  ///< Why there is none, and what to do.
  };

  std::string path;
  std::string name;
  uint64_t file_bytes = 0;
  int n_parts = 1;
  deepseek2::Config config;
  std::vector<Type> types;  ///< Most bytes first.
  uint64_t n_values = 0;
  uint64_t n_weight_bytes = 0;
  std::vector<Context> contexts;
  SamplingDefaults sampling;
  std::optional<TokenizerSummary> tokenizer;
  Template chat_template;

  /// 0 where the file has no tensors.
  double bits_per_weight() const noexcept;
};

/// `contexts`: sizes in tokens; empty: a few, up to the model's own.
Result<InfoReport> make_info(const GgufFile& file, std::span<const int64_t> contexts);
std::string info_text(const InfoReport& report);
/// One JSON object; the names of its members are stable.
std::string info_json(const InfoReport& report);

}  // namespace minke::apps
