// The tokens of a byte-level BPE vocabulary: their texts, the bytes they stand for, their kinds.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "models/tokenizer.h"
#include "runtime/gguf_reader.h"
#include "runtime/result.h"
#include "runtime/token_type.h"

namespace minke {

/// Immutable. In the vocabulary every byte of a normal token is written as a printable character
/// (GPT-2's byte-to-unicode map: 0x20 is U+0120); control and user-defined tokens are plain text.
class Vocabulary {
 public:
  /// Reads tokenizer.ggml.tokens and .token_type. Errors: kContent.
  static Result<Vocabulary> from_gguf(const GgufFile& file);
  Vocabulary(Vocabulary&&) noexcept = default;
  Vocabulary& operator=(Vocabulary&&) noexcept = default;

  int size() const noexcept { return static_cast<int>(texts_.size()); }
  bool contains(int64_t id) const noexcept { return id >= 0 && id < size(); }
  /// As written in the vocabulary.
  std::string_view text(TokenId id) const noexcept { return texts_[static_cast<size_t>(id)]; }
  /// What the token stands for in a text.
  std::string_view bytes(TokenId id) const noexcept { return bytes_[static_cast<size_t>(id)]; }
  TokenType type(TokenId id) const noexcept { return types_[static_cast<size_t>(id)]; }
  void set_control(TokenId id) noexcept { types_[static_cast<size_t>(id)] = TokenType::kControl; }
  /// -1 if there is none.
  TokenId find(std::string_view text) const noexcept;
  /// The token of a single byte, -1 if there is none. Bytes that occur in valid UTF-8 have one.
  TokenId byte_token(uint8_t byte) const noexcept { return byte_tokens_[byte]; }

 private:
  Vocabulary() = default;
  Status read_types(const GgufFile& file);
  Status index(const GgufFile& file);
  Status find_bytes(const GgufFile& file);

  std::vector<std::string> texts_, bytes_;
  std::vector<TokenType> types_;
  std::unordered_map<std::string_view, TokenId> by_text_;  ///< Views into texts_.
  std::array<TokenId, 256> byte_tokens_{};
};

}  // namespace minke
