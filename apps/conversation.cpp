#include "apps/conversation.h"

namespace minke::apps {
namespace {

/// The tokens of one turn up to the answer. A turn's text is tokenized on its own, since the answer
/// before it ends with a control token.
std::vector<TokenId> user_tokens(const std::string& system, std::string_view user, bool first,
                                 const ChatTemplate& chat_template, const Tokenizer& tokenizer) {
  std::vector<ChatMessage> messages;
  if (first && !system.empty()) messages.push_back({"system", system});
  messages.push_back({"user", std::string(user)});
  std::vector<TokenId> ids = chat_template.apply(tokenizer, messages, true);
  if (!first && !ids.empty() && ids.front() == tokenizer.bos()) ids.erase(ids.begin());
  return ids;
}

/// The tokens of an answer known by its text: what stands between the user's part and the EOS.
std::vector<TokenId> answer_tokens_of(const Turn& turn, const ChatTemplate& chat_template,
                                      const Tokenizer& tokenizer) {
  if (!turn.answer_tokens.empty() || turn.answer.empty()) return turn.answer_tokens;
  const bool words = chat_template.kind() == ChatTemplateKind::kA;
  return tokenizer.encode(words ? " " + turn.answer : turn.answer);
}

}  // namespace

std::vector<ChatMessage> Conversation::messages() const {
  std::vector<ChatMessage> all;
  if (!system.empty()) all.push_back({"system", system});
  for (const Turn& turn : turns) {
    all.push_back({"user", turn.user});
    all.push_back({"assistant", turn.answer});
  }
  return all;
}

std::vector<TokenId> prompt_tokens(const Conversation& conversation, std::string_view user_says,
                                   const ChatTemplate& chat_template, const Tokenizer& tokenizer) {
  std::vector<TokenId> ids;
  const auto append = [&ids](const std::vector<TokenId>& more) {
    ids.insert(ids.end(), more.begin(), more.end());
  };
  const auto append_user = [&](std::string_view text) {
    append(user_tokens(conversation.system, text, ids.empty(), chat_template, tokenizer));
  };
  for (const Turn& turn : conversation.turns) {
    append_user(turn.user);
    append(answer_tokens_of(turn, chat_template, tokenizer));
    if (tokenizer.eos() >= 0) ids.push_back(tokenizer.eos());
  }
  append_user(user_says);
  return ids;
}

}  // namespace minke::apps
