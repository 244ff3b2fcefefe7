// Finds the texts of given tokens inside a text.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <unordered_map>

#include "models/tokenizer.h"

namespace minke {

/// A trie over bytes. A position where no token starts costs one table lookup.
class TokenTrie {
 public:
  void insert(std::string_view text, TokenId id);

  struct Match {
    size_t begin = std::string_view::npos;  ///< npos: none.
    size_t length = 0;
    TokenId id = -1;
  };
  /// The first match at or after `from`; of those that begin there, the longest.
  Match find(std::string_view text, size_t from) const;

 private:
  uint32_t child(uint32_t node, uint8_t byte) const;

  std::array<uint32_t, 256> roots_{};                ///< Node behind the first byte, 0: none.
  std::unordered_map<uint64_t, uint32_t> children_;  ///< (node, byte) -> node
  std::unordered_map<uint32_t, TokenId> tokens_;     ///< node -> the token that ends there
  uint32_t n_nodes_ = 0;
};

}  // namespace minke
