// Writing for people at a terminal and for programs in a pipe.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "runtime/result.h"

namespace minke::apps {

enum class ColorChoice { kAuto, kOn, kOff };

/// What the standard streams are.
struct Terminal {
  bool in = false, out = false, err = false;  ///< Each: is a terminal.
  bool color = false;

  static Terminal look(ColorChoice choice);
  /// A person types and reads.
  bool interactive() const noexcept { return in && out; }
  /// `text` in a colour of the terminal, or as it is.
  std::string dim(std::string_view text) const;
  std::string bold(std::string_view text) const;
};

/// Makes ctype and line editing work on UTF-8, whatever the environment says.
void use_utf8_locale();

/// Writes to the standard error, at once. Where that fails, a full disk under a log for example,
/// nobody can be told, and the program goes on.
void write_stderr(std::string_view text);

/// `text` without what a terminal would obey: control characters but line ends and tabs become
/// U+FFFD. A model's words must not move the cursor.
std::string without_controls(std::string_view text);

/// Writes an answer to the standard output, piece by piece.
class AnswerPrinter {
 public:
  explicit AnswerPrinter(const Terminal& terminal) : to_terminal_(terminal.out) {}
  /// Shows it at once. Errors: kIo.
  Status write(std::string_view piece);
  /// Ends the line, if it is not at its start. Errors: kIo.
  Status end_line();

 private:
  bool to_terminal_;
  bool at_line_start_ = true;
};

/// A line on the standard error that changes in place and goes again; nothing where that is no
/// terminal.
class StatusLine {
 public:
  explicit StatusLine(const Terminal& terminal = Terminal::look(ColorChoice::kOff))
      : enabled_(terminal.err) {}
  ~StatusLine() { clear(); }
  StatusLine(const StatusLine&) = delete;
  StatusLine& operator=(const StatusLine&) = delete;
  bool enabled() const noexcept { return enabled_; }
  void show(std::string_view text);
  /// Takes the line away, so that another can be printed.
  void clear();

 private:
  bool enabled_, shown_ = false;
};

/// "reading the prompt: 512 of 2048 tokens" on the standard error, which goes again; nothing where
/// that is no terminal, and nothing of prompts that are read at once.
class ProgressLine {
 public:
  explicit ProgressLine(const Terminal& terminal) : line_(terminal) {}
  /// May be called at any rate: it draws a few times a second.
  void show(int done, int total);
  void clear() { line_.clear(); }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point drawn_ = Clock::now();  ///< Last; at first: when it began.
  StatusLine line_;
};

/// While one lives, what is typed is not shown: it would stand in the middle of an answer. It is
/// not lost, the next line begins with it.
class QuietTyping {
 public:
  explicit QuietTyping(const Terminal& terminal);
  ~QuietTyping();
  QuietTyping(const QuietTyping&) = delete;
  QuietTyping& operator=(const QuietTyping&) = delete;

 private:
  struct Saved;
  std::unique_ptr<Saved> saved_;
};

}  // namespace minke::apps
