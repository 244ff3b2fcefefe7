// Finds the texts of given tokens inside a text.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "models/tokenizer.h"

namespace minke {

/// A sorted list, searched byte by byte: a few bytes a token, however long the texts are. A
/// position where no token starts costs one table lookup.
class TokenFinder {
 public:
  struct Token {
    std::string_view text;  ///< Not empty; outlives the finder.
    TokenId id;
  };
  TokenFinder() = default;
  explicit TokenFinder(std::vector<Token> tokens);

  struct Match {
    size_t begin = std::string_view::npos;  ///< npos: none.
    size_t length = 0;
    TokenId id = -1;
  };
  /// The first match at or after `from`; of those that begin there, the longest.
  Match find(std::string_view text, size_t from) const;

 private:
  Match longest_at(std::string_view text, size_t begin) const;

  std::vector<Token> tokens_;          ///< By text.
  std::array<uint32_t, 257> first_{};  ///< Of tokens_: those whose first byte is this one.
};

}  // namespace minke
