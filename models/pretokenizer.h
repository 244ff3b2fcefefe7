// Pre-tokenizers cut a text into the words that BPE merges within. One is a sequence of splits:
// each split cuts every piece that the one before left, at the borders of its matches.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "runtime/regex.h"
#include "runtime/result.h"

namespace minke {

/// Appends the end of each word to `ends`, in order; the last is text.size(). The text is bytes: a
/// run of bytes that is no UTF-8 is a word of its own. Thread-safe, linear in the text.
using SplitWords = void (*)(std::string_view text, std::vector<size_t>& ends);

/// By the name in tokenizer.ggml.pre. Errors: kUnsupported, naming those known.
Result<SplitWords> find_pretokenizer(std::string_view name);

/// The plain sequence of splits by patterns. The reference that faster ones are tested against.
void split_by_patterns(std::span<const Regex> splits, std::string_view text,
                       std::vector<size_t>& ends);

void split_deepseek_llm(std::string_view text, std::vector<size_t>& ends);
void split_deepseek_v3(std::string_view text, std::vector<size_t>& ends);

}  // namespace minke
