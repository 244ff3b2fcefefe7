// The conversation with a person, or with a script through a pipe.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "apps/chat_commands.h"
#include "apps/chat_session.h"
#include "apps/line_editor.h"
#include "apps/terminal.h"

namespace minke::apps {

struct ChatLoopOptions {
  std::string first_message;  ///< Said before anything is read; empty: none.
  bool single_turn = false;   ///< Leave after one answer.
  bool verbose_prompt = false;
  bool verbose = false;
};

/// Answers go to the standard output, all else to the standard error. At a terminal an error ends
/// only the turn; in a pipe the rest of the input still runs, and the first error gives the exit
/// code.
class ChatLoop {
 public:
  ChatLoop(ChatSession& session, const Terminal& terminal, std::unique_ptr<LineSource> source,
           ChatLoopOptions options);

  /// Until the user leaves. Errors: kCancelled when Ctrl-C ended it; in a pipe the first error of a
  /// turn or a command, already told; those of writing the output.
  Status run();

 private:
  void show_first_message() const;
  /// False: the user leaves.
  bool handle(const Input& input);
  bool obey(const ChatCommand& command);
  void answer(const std::string& message);
  void regenerate();
  /// Shows what `ask` gives while it comes.
  void stream(const std::function<Result<Answer>(const Watcher&)>& ask);
  void tell_end(const Answer& answer);
  void read_file(const std::string& path);
  void load(const std::string& path);
  void set_parameter(const ChatCommand& command);
  std::string info() const;
  std::string template_text() const;
  /// Ctrl-C at the prompt; false: the user leaves.
  bool interrupted(const Input& input);

  void note(std::string_view text) const;
  void failed(const Error& error);

  ChatSession* session_;
  Terminal terminal_;
  std::unique_ptr<LineSource> source_;
  ChatLoopOptions options_;
  std::string pending_text_;  ///< Of /read, for the next message.
  bool one_more_leaves_ = false;
  bool done_ = false;
  Status status_;
};

}  // namespace minke::apps
