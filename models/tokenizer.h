// Byte-level BPE of the DeepSeek family.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/gguf_reader.h"
#include "runtime/result.h"

namespace minke {

using TokenId = int32_t;

/// Immutable after creation and safe to share between threads.
class Tokenizer {
 public:
  /// Reads tokenizer.ggml.* of any GGUF, vocabulary-only files too. Errors: kContent, kUnsupported.
  static Result<Tokenizer> from_gguf(const GgufFile& file);
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  /// Ids of `text`, which is bytes: decode() gives them back, with one exception, bytes that no
  /// token stands for (the real vocabulary lacks 0xC0, 0xC1 and 0xF5-0xFF, which valid UTF-8 never
  /// holds) become U+FFFD. User-defined tokens that look like text are matched, as the reference
  /// implementations do. Never gives a control token, whatever the text says, and never adds BOS.
  std::vector<TokenId> encode(std::string_view text) const;
  /// As encode, but the texts of control and user-defined tokens become those tokens: for template
  /// text only, never for what a user typed.
  std::vector<TokenId> encode_with_special(std::string_view text) const;

  /// The bytes of one token; a control token gives its text ("<｜end▁of▁sentence｜>").
  std::string_view token_bytes(TokenId id) const noexcept;
  std::string decode(const std::vector<TokenId>& ids) const;

  int vocab_size() const noexcept;
  bool is_control(TokenId id) const noexcept;
  TokenId bos() const noexcept;   ///< -1 if there is none.
  TokenId eos() const noexcept;   ///< -1 if there is none.
  bool add_bos() const noexcept;  ///< Prompts begin with BOS.
  /// The id of a token by its text as in the vocabulary, -1 if there is none.
  TokenId find(std::string_view text) const noexcept;

 private:
  struct Impl;
  explicit Tokenizer(std::unique_ptr<Impl> impl) noexcept;
  std::unique_ptr<Impl> impl_;
};

/// Turns a stream of tokens into text and never splits a UTF-8 character: bytes of an unfinished
/// character wait for the next token. Bytes that can never become valid become U+FFFD.
class StreamDetokenizer {
 public:
  explicit StreamDetokenizer(const Tokenizer& tokenizer) : tokenizer_(&tokenizer) {}
  std::string push(TokenId id);
  /// What is left at the end of the stream.
  std::string finish();

 private:
  const Tokenizer* tokenizer_;
  std::string pending_;
};

}  // namespace minke
