// tokenizer.json and tokenizer_config.json: a byte-level BPE vocabulary as GGUF stores it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "convert/hf_config.h"
#include "runtime/result.h"
#include "runtime/token_type.h"

namespace minke::convert {

struct HfTokenizer {
  std::string pre;                  ///< "deepseek-llm" or "deepseek-v3".
  std::vector<std::string> tokens;  ///< vocab_size entries; byte-level letters, not bytes.
  std::vector<int32_t> types;       ///< TokenType of each.
  std::vector<std::string> merges;  ///< "left right", best first.
  std::optional<int64_t> bos_id, eos_id, pad_id;
  bool add_bos = false;
  bool add_eos = false;
  std::string chat_template;  ///< Jinja; empty if the checkpoint has none.
};

/// Reads the tokenizer of a checkpoint. The entries between the last token and config.vocab_size
/// are filled with "[PAD<id>]". Errors: kMissing, kIo, kContent (ids twice, with gaps or beyond the
/// vocabulary, merges of unknown tokens, ..), kUnsupported (another kind of tokenizer).
Result<HfTokenizer> read_hf_tokenizer(const std::filesystem::path& dir, const HfConfig& config);

}  // namespace minke::convert
