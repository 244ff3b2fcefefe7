// A vocabulary small enough to work out ids by hand.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "models/tokenizer.h"
#include "tests/support.h"

namespace minke::test {

/// Ids 0-255 are the bytes in their order; then what the merges make, then the added tokens.
struct SmallVocabulary {
  std::vector<std::string> merges;                 ///< As in the file: "h e".
  std::vector<std::pair<std::string, int>> added;  ///< Text and type; 3 control, 4 user-defined.
  std::string model = "gpt2";
  std::string pre = "deepseek-llm";
  std::vector<std::pair<std::string, uint32_t>> ids;  ///< E.g. tokenizer.ggml.bos_token_id.
  std::string chat_template;                          ///< Not written if empty.

  /// The vocabulary form of a byte: GPT-2's byte-to-unicode map.
  static std::string byte_text(int byte);
  std::vector<std::string> tokens() const;
  void write(const std::filesystem::path& path) const;
  /// Writes and opens a file, which must be accepted.
  Tokenizer open() const;
  /// Writes and opens a file, and gives the error that must come.
  Error open_error() const;
};

}  // namespace minke::test
