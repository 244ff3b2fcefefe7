// Turns a conversation into the tokens that the model was trained on.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "models/tokenizer.h"
#include "runtime/result.h"

namespace minke {

struct ChatMessage {
  std::string role;  ///< "system", "user" or "assistant".
  std::string content;
};

/// The three layouts of the family; see CONTRIBUTING.md "Chat templates".
enum class ChatTemplateKind { kA, kB, kC };

class ChatTemplate {
 public:
  /// Recognises a Jinja text by what it renders to. Errors: kUnsupported, with what to do.
  static Result<ChatTemplate> from_jinja(std::string_view jinja);
  /// "deepseek" (A), "deepseek2-0628" (B), "deepseek2.5" (C), or "a", "b", "c". Errors: kUsage.
  static Result<ChatTemplate> from_name(std::string_view name);
  /// The file's own template, or, without one, an error that says what to do.
  static Result<ChatTemplate> from_gguf(const GgufFile& file);

  ChatTemplateKind kind() const noexcept { return kind_; }
  std::string_view name() const noexcept;

  /// Ids with exactly one BOS. The texts of messages never become control tokens. With
  /// add_generation_prompt the ids end where the assistant's answer begins.
  std::vector<TokenId> apply(const Tokenizer& tokenizer, std::span<const ChatMessage> messages,
                             bool add_generation_prompt) const;
  /// The same as a text, for people and for tests.
  std::string render(const Tokenizer& tokenizer, std::span<const ChatMessage> messages,
                     bool add_generation_prompt) const;

 private:
  explicit ChatTemplate(ChatTemplateKind kind) : kind_(kind) {}
  ChatTemplateKind kind_;
};

}  // namespace minke
