#include "apps/terminal.h"

#include <doctest/doctest.h>

#include <deque>

#include "apps/answer_filter.h"
#include "apps/generate.h"
#include "apps/line_editor.h"
#include "apps/text_input.h"
#include "tests/support.h"

using namespace minke;
using namespace minke::apps;

namespace {

/// Lines as if they were typed.
class Typed : public LineSource {
 public:
  explicit Typed(std::deque<std::string> lines) : lines_(std::move(lines)) {}
  Input read_line(const std::string&) override {
    if (lines_.empty()) return Input(Input::Kind::kEnd);
    Input line(lines_.front() == "^C" ? Input::Kind::kInterrupt : Input::Kind::kText,
               lines_.front());
    lines_.pop_front();
    return line;
  }

 private:
  std::deque<std::string> lines_;
};

Input message(std::deque<std::string> lines) {
  Typed typed(std::move(lines));
  return read_message(typed, Terminal{});
}

}  // namespace

TEST_CASE("terminal: a model's words cannot command it") {
  CHECK(without_controls("a\tb\nc") == "a\tb\nc");
  CHECK(without_controls("\x1b[2J") == "\uFFFD[2J");
  CHECK(without_controls("a\r\x07\x7f") == "a\uFFFD\uFFFD\uFFFD");
  CHECK(without_controls("\u009b31m") == "\uFFFD31m");
  CHECK(without_controls("你好 🙂 é") == "你好 🙂 é");
  CHECK(without_controls("\xff") == "\uFFFD");
}

TEST_CASE("terminal: colours only where they are wanted") {
  CHECK(Terminal{}.dim("x") == "x");
  Terminal colored;
  colored.color = true;
  CHECK(colored.dim("x") == "\x1b[2mx\x1b[0m");
}

TEST_CASE("messages: a line, or what stands between three quotes") {
  CHECK(message({"hello", "more"}).text == "hello");
  CHECK(message({}).kind == Input::Kind::kEnd);
  CHECK(message({"^C"}).kind == Input::Kind::kInterrupt);
  CHECK(message({"\"\"\"one", "two\"\"\" rest"}).text == "one\ntwo");
  CHECK(message({"\"\"\"", "one", "", "two", "\"\"\""}).text == "one\n\ntwo");
  CHECK(message({"\"\"\"/bye\"\"\""}).text == "/bye");
  CHECK(message({"\"\"\"/bye\"\"\""}).quoted);
  CHECK(message({"say \"\"\" please"}).text == "say \"\"\" please");
  CHECK(message({"/set system \"\"\"a", "b\"\"\""}).text == "/set system a\nb");
  CHECK(!message({"/set system \"\"\"a", "b\"\"\""}).quoted);
  // Left unfinished: Ctrl-C throws away what was typed, the end of the input ends all.
  CHECK(message({"\"\"\"one", "^C"}).kind == Input::Kind::kInterrupt);
  CHECK(message({"\"\"\"one", "^C"}).discarded);
  CHECK(message({"\"\"\"one"}).kind == Input::Kind::kEnd);
}

TEST_CASE("answers: the blank that template A puts before them is not shown") {
  AnswerFilter words(*ChatTemplate::from_name("a"));
  CHECK(words.push(" ") == "");
  CHECK(words.push("Hello") == "Hello");
  CHECK(words.push(" there") == " there");
  AnswerFilter joined(*ChatTemplate::from_name("a"));
  CHECK(joined.push(" Hello") == "Hello");
  AnswerFilter markers(*ChatTemplate::from_name("c"));
  CHECK(markers.push(" Hello") == " Hello");
  AnswerFilter none(std::nullopt);
  CHECK(none.push(" Hello") == " Hello");
}

TEST_CASE("texts: files are UTF-8, without byte order mark and last line end") {
  const test::TempDir dir;
  test::write_file(dir / "f", "\xEF\xBB\xBFhello\n\n");
  CHECK(*read_text_file(dir / "f") == "hello\n");
  test::write_file(dir / "f", "a\r\n");
  CHECK(*read_text_file(dir / "f") == "a");
  test::write_file(dir / "f", "");
  CHECK(read_text_file(dir / "f")->empty());
  test::write_file(dir / "f", "abc\xC3(");
  const auto bad = read_text_file(dir / "f");
  REQUIRE(!bad.has_value());
  CHECK(bad.error().code == Errc::kContent);
  CHECK(bad.error().message.find("offset 0x3") != std::string::npos);
  CHECK(read_text_file(dir / "none").error().code == Errc::kMissing);
  CHECK(read_text_file(dir.path()).error().code == Errc::kIo);
  CHECK(read_bytes(dir / "f", 3).error().code == Errc::kContent);
  CHECK(read_bytes(dir / "f", 5)->size() == 5);
}

TEST_CASE("timings: rates count the steps that were timed") {
  Event stats;
  stats.prompt_tokens = stats.prompt_done = 30;
  stats.prompt_cached = 10;
  stats.prompt_seconds = 2;
  stats.generated = 11;
  stats.generation_seconds = 2;
  stats.reason = FinishReason::kMaxTokens;
  CHECK(describe_timings(stats) ==
        "prompt 30 tokens (10 cached), 2.00 s, 10.0 tokens/s; "
        "answer 11 tokens, 2.00 s, 5.0 tokens/s");
  stats.reason = FinishReason::kEos;
  CHECK(describe_timings(stats).ends_with("5.5 tokens/s"));
  CHECK(describe_timings(Event{}).find("0.0 tokens/s") != std::string::npos);
}
