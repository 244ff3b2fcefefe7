#include "models/token_finder.h"

#include <algorithm>
#include <utility>

namespace minke {
namespace {

/// The byte at a depth; -1 where the text has ended, which sorts first.
int byte_at(std::string_view text, size_t depth) {
  return depth < text.size() ? static_cast<uint8_t>(text[depth]) : -1;
}

}  // namespace

TokenFinder::TokenFinder(std::vector<Token> tokens) : tokens_(std::move(tokens)) {
  std::ranges::sort(tokens_, {}, &Token::text);
  for (const Token& token : tokens_) ++first_[static_cast<size_t>(byte_at(token.text, 0)) + 1];
  for (size_t byte = 1; byte < first_.size(); ++byte) first_[byte] += first_[byte - 1];
}

TokenFinder::Match TokenFinder::longest_at(std::string_view text, size_t begin) const {
  const auto byte = static_cast<uint8_t>(text[begin]);
  // The tokens that agree with the text up to `depth`.
  std::span<const Token> left =
      std::span(tokens_).subspan(first_[byte], first_[byte + 1u] - first_[byte]);
  Match match;
  for (size_t depth = 1; !left.empty(); ++depth) {
    if (left.front().text.size() == depth) match = {begin, depth, left.front().id};
    const int next = byte_at(text, begin + depth);
    if (next < 0) break;
    const auto byte_of = [depth](const Token& token) { return byte_at(token.text, depth); };
    // Not std::ranges::equal_range, which clang 14 cannot compile.
    left = {std::ranges::lower_bound(left, next, {}, byte_of),
            std::ranges::upper_bound(left, next, {}, byte_of)};
  }
  return match;
}

TokenFinder::Match TokenFinder::find(std::string_view text, size_t from) const {
  for (size_t begin = from; begin < text.size(); ++begin) {
    const Match match = longest_at(text, begin);
    if (match.id >= 0) return match;
  }
  return {};
}

}  // namespace minke
