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
/// A: `<BOS>{system}\n\nUser: {u1}\n\nAssistant: {a1}<EOS>User: {u2}\n\nAssistant:`
/// B: `<BOS>{system}\n\n<｜User｜>{u1}<｜Assistant｜>{a1}<EOS><｜User｜>{u2}<｜Assistant｜>`
/// C: as B, but the last system text (wherever it stands) comes first, with no blank line behind.
enum class ChatTemplateKind { kA, kB, kC };

class ChatTemplate {
 public:
  /// Recognises a Jinja text by the texts it puts out. Errors: kUnsupported, with what to do.
  static Result<ChatTemplate> from_jinja(std::string_view jinja);
  /// "deepseek2" (A), "deepseek2-0628" (B), "deepseek2.5" (C), or "a", "b", "c". Errors: kUsage.
  static Result<ChatTemplate> from_name(std::string_view name);
  /// The file's own template. Errors: kUnsupported, with what to do, if there is none or it is not
  /// known.
  static Result<ChatTemplate> from_gguf(const GgufFile& file);

  ChatTemplateKind kind() const noexcept { return kind_; }
  /// One of from_name's long names.
  std::string_view name() const noexcept;

  /// Errors: kUsage if the vocabulary lacks a marker of the template.
  Status check_vocabulary(const Tokenizer& tokenizer) const;

  /// For conversations from outside. Errors: kUsage for a role that the templates do not know.
  static Status check(std::span<const ChatMessage> messages);

  /// Ids with exactly one BOS (if the vocabulary has one). The texts of messages never become
  /// control tokens. With add_generation_prompt the ids end where the assistant's answer begins:
  /// nothing follows the last `Assistant:`, not even a space. Messages of unknown roles are left
  /// out, as the original templates do.
  std::vector<TokenId> apply(const Tokenizer& tokenizer, std::span<const ChatMessage> messages,
                             bool add_generation_prompt) const;
  /// The same as a text, for people and for tests.
  std::string render(const Tokenizer& tokenizer, std::span<const ChatMessage> messages,
                     bool add_generation_prompt) const;

  /// The content of the assistant's message for what the model wrote after the generation prompt:
  /// in A the space behind `Assistant:` belongs to the template.
  std::string_view answer_content(std::string_view generated) const noexcept;

 private:
  explicit ChatTemplate(ChatTemplateKind kind) : kind_(kind) {}
  ChatTemplateKind kind_;
};

}  // namespace minke
