// One conversation with one model: what the chat does, without what it shows.
#pragma once

#include <filesystem>
#include <string>

#include "apps/conversation.h"
#include "apps/generate.h"
#include "apps/model_options.h"
#include "apps/session_file.h"

namespace minke::apps {

class ChatSession {
 public:
  /// `loaded` outlives the session.
  ChatSession(LoadedModel& loaded, ChatTemplate chat_template, Parameters parameters,
              std::string system);

  /// Answers a message. The turn stays in the conversation if something was generated, also when it
  /// was interrupted. Errors: those of generate(); kUsage if the conversation does not fit the
  /// context, with both numbers and what to do. After an error the conversation is as before.
  Result<Answer> say(const std::string& message, const Watcher& watcher);
  /// Answers the last message anew, with other random numbers. Errors: as say(); kUsage without a
  /// message; the old answer is back then.
  Result<Answer> regenerate(const Watcher& watcher);
  void clear();
  void set_system(std::string text) { conversation_.system = std::move(text); }

  /// Errors: those of save_session and load_session; kContent for a parameter that is none. After
  /// an error the session is as before.
  Status save(const std::filesystem::path& path) const;
  Status load(const std::filesystem::path& path);

  Parameters& parameters() noexcept { return parameters_; }
  const Conversation& conversation() const noexcept { return conversation_; }
  const ChatTemplate& chat_template() const noexcept { return template_; }
  LoadedModel& loaded() noexcept { return *loaded_; }
  /// Tokens of the conversation so far, as the last answer left them.
  int n_tokens() const noexcept { return n_tokens_; }
  /// The tokens that say(message) would have the model read.
  std::vector<TokenId> prompt_for(std::string_view message) const;

 private:
  LoadedModel* loaded_;
  ChatTemplate template_;
  Parameters parameters_;
  Conversation conversation_;
  int n_tokens_ = 0;
  uint64_t n_regenerated_ = 0;  ///< Of the last message.
};

}  // namespace minke::apps
