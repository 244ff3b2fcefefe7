#include "models/token_trie.h"

namespace minke {

uint32_t TokenTrie::child(uint32_t node, uint8_t byte) const {
  const auto found = children_.find(static_cast<uint64_t>(node) << 8 | byte);
  return found == children_.end() ? 0 : found->second;
}

void TokenTrie::insert(std::string_view text, TokenId id) {
  if (text.empty()) return;
  uint32_t& root = roots_[static_cast<uint8_t>(text[0])];
  if (root == 0) root = ++n_nodes_;
  uint32_t node = root;
  for (const char c : text.substr(1)) {
    uint32_t& next = children_[static_cast<uint64_t>(node) << 8 | static_cast<uint8_t>(c)];
    if (next == 0) next = ++n_nodes_;
    node = next;
  }
  tokens_[node] = id;
}

TokenTrie::Match TokenTrie::find(std::string_view text, size_t from) const {
  for (size_t begin = from; begin < text.size(); ++begin) {
    uint32_t node = roots_[static_cast<uint8_t>(text[begin])];
    Match match;
    for (size_t end = begin + 1; node != 0; ++end) {
      if (const auto token = tokens_.find(node); token != tokens_.end()) {
        match = {begin, end - begin, token->second};
      }
      if (end == text.size()) break;
      node = child(node, static_cast<uint8_t>(text[end]));
    }
    if (match.id >= 0) return match;
  }
  return {};
}

}  // namespace minke
