#include "models/pretokenizer.h"

#include <algorithm>
#include <string>
#include <utility>

#include "runtime/utf8_step.h"

namespace minke {
namespace {

/// Cuts [begin, end) of `text` at the borders of the matches; the piece alone is the subject, so
/// that `$` and look-ahead end with it.
void cut(Regex::Matcher& matcher, std::string_view text, size_t begin, size_t end,
         std::vector<size_t>& ends) {
  const std::string_view piece = text.substr(begin, end - begin);
  size_t rest = 0;
  while (rest < piece.size()) {
    const auto [from, to] = matcher.find(piece, rest);
    if (from == std::string_view::npos) break;
    if (from > rest) ends.push_back(begin + from);
    ends.push_back(begin + to);
    rest = to;
  }
  if (rest < piece.size()) ends.push_back(end);
}

/// `text` is valid UTF-8.
std::vector<size_t> split_valid(std::span<const Regex> splits, std::string_view text) {
  std::vector<size_t> ends{text.size()}, next;
  for (const Regex& split : splits) {
    Regex::Matcher matcher(split);
    next.clear();
    size_t begin = 0;
    for (const size_t end : ends) {
      cut(matcher, text, begin, end, next);
      begin = end;
    }
    std::swap(ends, next);
  }
  return ends;
}

}  // namespace

void split_by_patterns(std::span<const Regex> splits, std::string_view text,
                       std::vector<size_t>& ends) {
  const auto length_of = [&](size_t from, bool valid) {
    size_t i = from;
    while (i < text.size()) {
      const Utf8Step step = utf8_step(text.substr(i));
      if ((step.kind == Utf8Step::Kind::kValid) != valid) break;
      i += step.length;
    }
    return i - from;
  };
  for (size_t i = 0; i < text.size();) {
    if (const size_t valid = length_of(i, true); valid > 0) {
      for (const size_t end : split_valid(splits, text.substr(i, valid))) ends.push_back(i + end);
      i += valid;
    }
    if (const size_t invalid = length_of(i, false); invalid > 0) {
      i += invalid;
      ends.push_back(i);
    }
  }
}

void split_deepseek_v3(std::string_view text, std::vector<size_t>& ends) {
  // Numbers by threes; Chinese and Japanese; then ASCII punctuation with the letters behind it,
  // words with one other character before them, punctuation with the newlines behind it, newlines
  // with the spaces before them, and spaces, the last of which belongs to the word that follows.
  // [\s\S] without PCRE2's U+180E, as in the patterns of deepseek-llm.
#define MINKE_SPACE \
  R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})"
  static const Regex splits[] = {
      Regex(R"(\p{N}{1,3})"),
      Regex(R"([\x{4e00}-\x{9fa5}\x{3040}-\x{309f}\x{30a0}-\x{30ff}]+)"),
      Regex(R"([!-/:-@\[-`{-~][A-Za-z]+)"
            R"(|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)"
            R"(| ?[\p{P}\p{S}]+[\r\n]*)"
            "|[" MINKE_SPACE R"(]*[\r\n]+)"
            "|[" MINKE_SPACE "]+(?![^" MINKE_SPACE "])"
            "|[" MINKE_SPACE "]+"),
  };
#undef MINKE_SPACE
  split_by_patterns(splits, text, ends);
}

Result<SplitWords> find_pretokenizer(std::string_view name) {
  struct Known {
    std::string_view name;
    SplitWords split;
  };
  static constexpr Known kKnown[] = {{"deepseek-llm", split_deepseek_llm},
                                     {"deepseek-v3", split_deepseek_v3}};
  std::string names;
  for (const Known& known : kKnown) {
    if (known.name == name) return known.split;
    names += (names.empty() ? "'" : ", '") + std::string(known.name) + "'";
  }
  return fail(Errc::kUnsupported, "the pre-tokenizer '{}' is not known (known: {})", name, names);
}

}  // namespace minke
