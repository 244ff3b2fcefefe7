// A conversation as a list of turns, and the tokens that the model reads of it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "models/chat_template.h"

namespace minke::apps {

/// What the user said, and what the model answered.
struct Turn {
  std::string user;
  std::string answer;
  /// The answer as it was generated. Kept, since its text may have other tokens, and then nothing
  /// behind them would be found in the cache. Empty: only the text is known.
  std::vector<TokenId> answer_tokens;
};

struct Conversation {
  std::string system;  ///< Empty: none.
  std::vector<Turn> turns;

  std::vector<ChatMessage> messages() const;
};

/// The tokens of the turns before, then of what the user says now, up to where the answer begins:
/// the same as ChatTemplate::apply gives, but with the answers' own tokens.
std::vector<TokenId> prompt_tokens(const Conversation& conversation, std::string_view user_says,
                                   const ChatTemplate& chat_template, const Tokenizer& tokenizer);

}  // namespace minke::apps
