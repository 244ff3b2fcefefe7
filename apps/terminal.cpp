#include "apps/terminal.h"

#include <langinfo.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <system_error>

#include "runtime/utf8.h"

namespace minke::apps {
namespace {

Status write_error() {
  return fail(Errc::kIo, "cannot write the output: {}", std::generic_category().message(errno));
}

}  // namespace

Terminal Terminal::look(ColorChoice choice) {
  Terminal t;
  t.in = isatty(STDIN_FILENO) != 0;
  t.out = isatty(STDOUT_FILENO) != 0;
  t.err = isatty(STDERR_FILENO) != 0;
  const char* const term = std::getenv("TERM");
  const char* const no_color = std::getenv("NO_COLOR");  // https://no-color.org
  const bool dumb = term == nullptr || std::strcmp(term, "dumb") == 0;
  const bool wanted = no_color == nullptr || *no_color == '\0';
  t.color = choice == ColorChoice::kOn ||
            (choice == ColorChoice::kAuto && t.interactive() && t.err && !dumb && wanted);
  return t;
}

std::string Terminal::dim(std::string_view text) const {
  return color ? fmt::format("\x1b[2m{}\x1b[0m", text) : std::string(text);
}

std::string Terminal::bold(std::string_view text) const {
  return color ? fmt::format("\x1b[1;32m{}\x1b[0m", text) : std::string(text);
}

void use_utf8_locale() {
  std::setlocale(LC_CTYPE, "");
  if (std::strcmp(nl_langinfo(CODESET), "UTF-8") != 0) std::setlocale(LC_CTYPE, "C.UTF-8");
}

void write_stderr(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stderr); }

std::string without_controls(std::string_view text) {
  constexpr std::string_view kReplacement = "\uFFFD";
  std::string out;
  while (!text.empty()) {
    const size_t length = utf8_char_length(text);
    const auto lead = static_cast<unsigned char>(text[0]);
    const bool low = lead < 0x20 && lead != '\n' && lead != '\t';
    // U+0080-U+009F: some terminals obey these too.
    const bool c1 = length == 2 && lead == 0xC2 && static_cast<unsigned char>(text[1]) < 0xA0;
    if (length == 0 || low || lead == 0x7F || c1)
      out += kReplacement;
    else
      out += text.substr(0, length);
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return out;
}

Status AnswerPrinter::write(std::string_view piece) {
  if (piece.empty()) return {};
  const std::string safe = to_terminal_ ? without_controls(piece) : std::string(piece);
  at_line_start_ = safe.ends_with('\n');
  if (std::fwrite(safe.data(), 1, safe.size(), stdout) != safe.size() || std::fflush(stdout) != 0)
    return write_error();
  return {};
}

Status AnswerPrinter::end_line() {
  if (at_line_start_) return {};
  at_line_start_ = true;
  if (std::fputc('\n', stdout) == EOF || std::fflush(stdout) != 0) return write_error();
  return {};
}

void StatusLine::show(std::string_view text) {
  if (!enabled_) return;
  shown_ = true;
  write_stderr(fmt::format("\r\x1b[K{}", text));
}

void StatusLine::clear() {
  if (!shown_) return;
  shown_ = false;
  write_stderr("\r\x1b[K");
}

void ProgressLine::show(int done, int total) {
  constexpr std::chrono::milliseconds kBetween(250);
  if (!line_.enabled() || Clock::now() - drawn_ < kBetween) return;
  drawn_ = Clock::now();
  const int percent = static_cast<int>(100.0 * done / (total > 0 ? total : 1));
  line_.show(fmt::format("reading the prompt: {} of {} tokens ({} %)", done, total, percent));
}

struct QuietTyping::Saved {
  termios modes;
};

QuietTyping::QuietTyping(const Terminal& terminal) {
  termios modes;
  if (!terminal.in || tcgetattr(STDIN_FILENO, &modes) != 0) return;
  saved_ = std::make_unique<Saved>(Saved{modes});
  modes.c_lflag &= ~static_cast<tcflag_t>(ECHO | ECHOE | ECHOK | ECHONL | ICANON);
  tcsetattr(STDIN_FILENO, TCSADRAIN, &modes);
}

QuietTyping::~QuietTyping() {
  if (saved_) tcsetattr(STDIN_FILENO, TCSADRAIN, &saved_->modes);
}

}  // namespace minke::apps
