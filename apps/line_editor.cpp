#include "apps/line_editor.h"

#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <system_error>

#include "apps/chat_commands.h"
#include "apps/interrupt.h"

namespace minke::apps {
namespace {

constexpr std::string_view kQuotes = "\"\"\"";

class PlainLines : public LineSource {
 public:
  explicit PlainLines(const Terminal& terminal) : show_prompt_(terminal.in && terminal.err) {}

  Input read_line(const std::string& prompt) override {
    if (show_prompt_) write_stderr(prompt);
    while (true) {
      if (const size_t end = buffer_.find('\n'); end != std::string::npos) {
        Input input(Input::Kind::kText, buffer_.substr(0, end));
        buffer_.erase(0, end + 1);
        if (input.text.ends_with('\r')) input.text.pop_back();
        return input;
      }
      if (SignalWatch::interrupts() > 0) return Input(Input::Kind::kInterrupt);
      if (ended_) return last_line();
      read_more();
    }
  }

 private:
  Input last_line() {
    if (buffer_.empty()) return Input(Input::Kind::kEnd);
    Input input(Input::Kind::kText);
    input.text.swap(buffer_);
    return input;
  }

  void read_more() {
    std::array<char, 4096> chunk;
    const ssize_t n = read(STDIN_FILENO, chunk.data(), chunk.size());
    if (n > 0) buffer_.append(chunk.data(), static_cast<size_t>(n));
    if (n == 0 || (n < 0 && errno != EINTR)) ended_ = true;
  }

  std::string buffer_;
  bool show_prompt_, ended_ = false;
};

/// Reads lines until one holds the closing quotes; what stands behind them is left out.
Input read_quoted(LineSource& source, const Terminal& terminal, std::string text) {
  while (true) {
    if (const size_t end = text.find(kQuotes); end != std::string::npos) {
      text.resize(end);
      Input quoted(Input::Kind::kText, std::move(text));
      quoted.quoted = true;
      return quoted;
    }
    Input line = source.read_line(terminal.dim("... "));
    if (line.kind == Input::Kind::kInterrupt) line.discarded = true;
    if (line.kind != Input::Kind::kText) return line;
    source.remember(line.text);
    text += "\n" + line.text;
  }
}

/// An opening line break and a closing one belong to the quotes, not to the text.
std::string_view trim_line_ends(std::string_view text) {
  if (text.starts_with('\n')) text.remove_prefix(1);
  if (text.ends_with('\n')) text.remove_suffix(1);
  return text;
}

}  // namespace

std::unique_ptr<LineSource> make_plain_lines(const Terminal& terminal) {
  return std::make_unique<PlainLines>(terminal);
}

std::filesystem::path default_history_file() {
  const char* const state = std::getenv("XDG_STATE_HOME");
  const char* const home = std::getenv("HOME");
  std::filesystem::path folder;
  if (state != nullptr && *state == '/')
    folder = state;
  else if (home != nullptr && *home != '\0')
    folder = std::filesystem::path(home) / ".local/state";
  else
    return {};
  std::error_code ignored;  // without the folder there is no history
  std::filesystem::create_directories(folder / "minke", ignored);
  return folder / "minke/history";
}

Input read_message(LineSource& source, const Terminal& terminal) {
  Input line = source.read_line(terminal.bold(">>> "));
  if (line.kind != Input::Kind::kText) return line;
  source.remember(line.text);
  const size_t start = line.text.find_first_not_of(" \t");
  const size_t open = line.text.find(kQuotes);
  const bool command = is_command(line.text);
  if (open == std::string::npos || (!command && open != start)) return line;
  Input quoted = read_quoted(source, terminal, line.text.substr(open + kQuotes.size()));
  if (quoted.kind != Input::Kind::kText) return quoted;
  std::string text = command ? line.text.substr(0, open) : std::string();
  text += trim_line_ends(quoted.text);
  quoted.text = std::move(text);
  quoted.quoted = !command;
  return quoted;
}

}  // namespace minke::apps
