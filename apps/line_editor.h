// Reads what a user says: with line editing and history at a terminal, line by line from a pipe.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "apps/terminal.h"

namespace minke::apps {

/// One thing that the user said, of one line or more.
struct Input {
  enum class Kind { kText, kInterrupt, kEnd };
  explicit Input(Kind what, std::string said = {}) : kind(what), text(std::move(said)) {}

  Kind kind;
  std::string text;
  /// It stood between """: never a command.
  bool quoted = false;
  /// kInterrupt: the line was not empty.
  bool discarded = false;
};

class LineSource {
 public:
  virtual ~LineSource() = default;
  /// One line without its end. kInterrupt when Ctrl-C came while it was read.
  virtual Input read_line(const std::string& prompt) = 0;
  /// Keeps a line for the arrow keys.
  virtual void remember(const std::string&) {}
};

/// Line editing by libedit. An unwritable or missing history file is no failure: there is no
/// history of earlier chats then. Null if the terminal cannot be edited on.
std::unique_ptr<LineSource> make_editor(const Terminal& terminal,
                                        const std::filesystem::path& history_file);
/// Lines as the standard input gives them. The prompt is shown only where a person types.
std::unique_ptr<LineSource> make_plain_lines(const Terminal& terminal);

/// $XDG_STATE_HOME/minke/history, or ~/.local/state/minke/history; its directory is made. Empty if
/// there is no home.
std::filesystem::path default_history_file();

/// Reads one message: a line, or the lines between """ and """. A command may end in such a text:
/// `/set system """`.
Input read_message(LineSource& source, const Terminal& terminal);

}  // namespace minke::apps
