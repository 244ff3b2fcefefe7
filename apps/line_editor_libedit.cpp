// The terminal's side of line_editor.h. Characters are read here, not by libedit, so that Ctrl-C, a
// change of the window's size and pasted text of several lines do what a user expects.
#include <histedit.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <cwchar>
#include <deque>

#include "apps/interrupt.h"
#include "apps/line_editor.h"
#include "runtime/utf8.h"

namespace minke::apps {
namespace {

constexpr int kHistoryLines = 1000;
constexpr std::string_view kPasteBegin = "\x1b[200~", kPasteEnd = "\x1b[201~";
/// Terminals put pasted text between these marks when asked to ("bracketed paste").
constexpr std::string_view kAskForPasteMarks = "\x1b[?2004h", kNoPasteMarks = "\x1b[?2004l";

std::wstring to_wide(std::string_view text) {
  std::wstring wide;
  while (!text.empty()) {
    wchar_t c = L'\uFFFD';
    const size_t length = utf8_char_length(text);
    std::mbstate_t state{};
    if (length != 0) std::mbrtowc(&c, text.data(), length, &state);
    wide += c;
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return wide;
}

class Editor : public LineSource {
 public:
  explicit Editor(std::filesystem::path history_file) : history_file_(std::move(history_file)) {}
  ~Editor() override;
  Editor(const Editor&) = delete;
  Editor& operator=(const Editor&) = delete;

  bool open();
  Input read_line(const std::string& prompt) override;
  void remember(const std::string& line) override;

 private:
  enum class Wait { kByte, kInterrupt, kEnd, kNothing };

  static int read_character(EditLine* el, wchar_t* out);
  static char* show_prompt(EditLine* el);
  static Editor* self(EditLine* el);

  Wait wait_for_input(int timeout_ms);
  Wait next_byte(char& byte);
  int rows_above(const char* place) const;
  void redraw(int n_rows_above);
  bool take_paste_mark();
  Wait insert_paste();
  void save_history();

  EditLine* editor_ = nullptr;
  History* history_ = nullptr;
  std::filesystem::path history_file_;
  std::string prompt_;
  int prompt_columns_ = 0;
  std::deque<char> pending_;  ///< Bytes read ahead.
};

Editor::~Editor() {
  if (editor_ != nullptr) el_end(editor_);
  if (history_ != nullptr) history_end(history_);
}

bool Editor::open() {
  editor_ = el_init("minke", stdin, stdout, stderr);
  history_ = history_init();
  if (editor_ == nullptr || history_ == nullptr) return false;
  HistEvent event;
  history(history_, &event, H_SETSIZE, kHistoryLines);
  history(history_, &event, H_SETUNIQUE, 1);
  if (!history_file_.empty()) history(history_, &event, H_LOAD, history_file_.c_str());
  el_set(editor_, EL_CLIENTDATA, this);
  el_set(editor_, EL_EDITOR, "emacs");
  el_set(editor_, EL_PROMPT_ESC, &Editor::show_prompt, '\1');
  el_set(editor_, EL_HIST, history, history_);
  el_set(editor_, EL_GETCFN, &Editor::read_character);
  el_set(editor_, EL_BIND, "^R", "em-inc-search-prev", nullptr);
  el_set(editor_, EL_BIND, "^W", "ed-delete-prev-word", nullptr);
  el_set(editor_, EL_BIND, "\\e[3~", "ed-delete-next-char", nullptr);
  el_set(editor_, EL_BIND, "\\e[1;5D", "ed-prev-word", nullptr);
  el_set(editor_, EL_BIND, "\\e[1;5C", "em-next-word", nullptr);
  el_source(editor_, nullptr);  // the user's ~/.editrc
  return true;
}

Editor* Editor::self(EditLine* el) {
  void* data = nullptr;
  el_get(el, EL_CLIENTDATA, &data);
  return static_cast<Editor*>(data);
}

char* Editor::show_prompt(EditLine* el) { return self(el)->prompt_.data(); }

/// Puts colours between \1 and \1: they take no room on the line. Counts what does.
std::string mark_escapes(const std::string& prompt, int& n_columns) {
  std::string marked;
  n_columns = 0;
  for (size_t i = 0; i < prompt.size(); ++i) {
    const size_t end = prompt[i] == '\x1b' ? prompt.find('m', i) : std::string::npos;
    if (end == std::string::npos) {
      marked += prompt[i];
      ++n_columns;
      continue;
    }
    marked += '\1';
    marked.append(prompt, i, end - i + 1);
    marked += '\1';
    i = end;
  }
  return marked;
}

Input Editor::read_line(const std::string& prompt) {
  prompt_ = mark_escapes(prompt, prompt_columns_);
  fmt::print("{}", kAskForPasteMarks);
  std::fflush(stdout);
  SignalWatch::take_terminal_change();  // el_gets() looks at the terminal itself
  int length = 0;
  const char* const line = el_gets(editor_, &length);
  const bool interrupted = SignalWatch::interrupts() > 0;
  const LineInfo* const info = el_line(editor_);
  const bool had_text = info->lastchar > info->buffer;
  // What comes next stands below all rows of the line, wherever the cursor is.
  const int rows_left = rows_above(info->lastchar) - rows_above(info->cursor);
  const bool at_new_line = !interrupted && line != nullptr;
  fmt::print("{}{}", kNoPasteMarks,
             std::string(at_new_line ? 0 : static_cast<size_t>(rows_left + 1), '\n'));
  std::fflush(stdout);
  if (interrupted) {
    Input input(Input::Kind::kInterrupt);
    input.discarded = had_text;
    return input;
  }
  if (line == nullptr || length <= 0) return Input(Input::Kind::kEnd);
  Input input(Input::Kind::kText, std::string(line, static_cast<size_t>(length)));
  if (input.text.ends_with('\n')) input.text.pop_back();
  return input;
}

void Editor::remember(const std::string& line) {
  if (line.find_first_not_of(" \t") == std::string::npos) return;
  HistEvent event;
  history(history_, &event, H_ENTER, line.c_str());
  save_history();
}

void Editor::save_history() {
  if (history_file_.empty()) return;
  // Written aside and renamed, so that two chats at once cannot leave half a file.
  const std::string aside = history_file_.string() + fmt::format(".{}", getpid());
  HistEvent event;
  const mode_t mask = umask(077);
  const bool written = history(history_, &event, H_SAVE, aside.c_str()) >= 0;
  umask(mask);
  if (!written || std::rename(aside.c_str(), history_file_.c_str()) != 0)
    std::remove(aside.c_str());
}

/// Rows of the terminal between the one where the prompt begins and that of a place in the line.
/// Terminals wrap what stands there anew when their width changes, and so does this.
int Editor::rows_above(const char* place) const {
  int n_columns = 0;
  el_get(editor_, EL_GETTC, "co", &n_columns);
  const LineInfo* const info = el_line(editor_);
  const std::string before(info->buffer, static_cast<size_t>(place - info->buffer));
  int rows = 0, column = prompt_columns_;
  for (const wchar_t c : to_wide(before)) {
    const int width = c == L'\n' ? 0 : std::max(wcwidth(c), 0);
    if (c == L'\n' || column + width > n_columns) {
      ++rows;
      column = 0;
    }
    column += width;
  }
  return column == n_columns ? rows + 1 : rows;
}

/// libedit draws from where the cursor is: it goes to where the prompt begins before.
void Editor::redraw(int n_rows_above) {
  if (n_rows_above > 0) fmt::print("\x1b[{}A", n_rows_above);
  fmt::print("\r\x1b[J");
  std::fflush(stdout);
  el_set(editor_, EL_REFRESH);
}

/// A timeout < 0 waits for ever.
Editor::Wait Editor::wait_for_input(int timeout_ms) {
  // A signal may come just before poll(), so it never sleeps long.
  constexpr int kNapMs = 200;
  while (true) {
    if (SignalWatch::interrupts() > 0) return Wait::kInterrupt;
    if (SignalWatch::take_terminal_change()) {
      el_set(editor_, EL_PREP_TERM, 0);  // back from the background, the modes are the shell's
      el_set(editor_, EL_PREP_TERM, 1);
      el_resize(editor_);
      redraw(rows_above(el_line(editor_)->cursor));
    }
    pollfd input{STDIN_FILENO, POLLIN, 0};
    const int n = poll(&input, 1, timeout_ms < 0 ? kNapMs : timeout_ms);
    if (n > 0) return Wait::kByte;
    if (n < 0 && errno != EINTR) return Wait::kEnd;
    if (n == 0 && timeout_ms >= 0) return Wait::kNothing;
  }
}

Editor::Wait Editor::next_byte(char& byte) {
  if (!pending_.empty()) {
    byte = pending_.front();
    pending_.pop_front();
    return Wait::kByte;
  }
  const Wait wait = wait_for_input(-1);
  if (wait != Wait::kByte) return wait;
  return read(STDIN_FILENO, &byte, 1) == 1 ? Wait::kByte : Wait::kEnd;
}

/// After an escape character: true if the rest of the mark for pasted text follows, which is taken
/// then. Other keys begin with an escape too: their bytes stay pending.
bool Editor::take_paste_mark() {
  constexpr int kKeyMs = 30;  // the bytes of one key come together
  const std::string_view rest = kPasteBegin.substr(1);
  for (size_t i = 0; i < rest.size(); ++i) {
    if (pending_.size() == i) {
      char byte = 0;
      if (wait_for_input(kKeyMs) != Wait::kByte || read(STDIN_FILENO, &byte, 1) != 1) return false;
      pending_.push_back(byte);
    }
    if (pending_[i] != rest[i]) return false;
  }
  pending_.erase(pending_.begin(), pending_.begin() + static_cast<ptrdiff_t>(rest.size()));
  return true;
}

/// Puts pasted text into the line as it is; its line ends do not send it.
Editor::Wait Editor::insert_paste() {
  std::string text;
  while (!text.ends_with(kPasteEnd)) {
    char byte = 0;
    if (const Wait wait = next_byte(byte); wait != Wait::kByte) return wait;
    text += byte == '\r' ? '\n' : byte;
  }
  text.resize(text.size() - kPasteEnd.size());
  while (text.ends_with('\n')) text.pop_back();
  const int rows = rows_above(el_line(editor_)->cursor);
  el_winsertstr(editor_, to_wide(without_controls(text)).c_str());
  redraw(rows);
  return Wait::kByte;
}

/// libedit's way to ask for a character: 1 and the character, 0 at the end, -1 on an interrupt.
int Editor::read_character(EditLine* el, wchar_t* out) {
  Editor& editor = *self(el);
  const auto answer = [](Wait wait) {
    errno = EINTR;
    return wait == Wait::kInterrupt ? -1 : 0;
  };
  char byte = 0;
  while (true) {
    if (const Wait wait = editor.next_byte(byte); wait != Wait::kByte) return answer(wait);
    if (byte != '\x1b' || !editor.take_paste_mark()) break;
    if (const Wait wait = editor.insert_paste(); wait != Wait::kByte) return answer(wait);
  }
  std::string bytes(1, byte);
  const auto lead = static_cast<unsigned char>(byte);
  const size_t length = lead < 0xC0 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  while (bytes.size() < length) {
    if (const Wait wait = editor.next_byte(byte); wait != Wait::kByte) return answer(wait);
    bytes += byte;
  }
  *out = to_wide(bytes).front();
  return 1;
}

}  // namespace

std::unique_ptr<LineSource> make_editor(const Terminal& terminal,
                                        const std::filesystem::path& history_file) {
  const char* const term = std::getenv("TERM");
  if (!terminal.interactive() || term == nullptr || std::strcmp(term, "dumb") == 0) return nullptr;
  auto editor = std::make_unique<Editor>(history_file);
  if (!editor->open()) return nullptr;
  return editor;
}

}  // namespace minke::apps
