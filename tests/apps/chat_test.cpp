// `minke chat` and `minke run` from outside, through pipes, on a model of random weights: what it
// says is nonsense, but at temperature 0 always the same nonsense.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/apps/app_model.h"
#include "tests/apps/run_minke.h"
#include "tests/support.h"

using namespace minke::test;

namespace {

using Words = std::vector<std::string>;

Words with_model(Words words, const Words& more) {
  for (const char* word : {"-m", "", "-t", "1", "--temp", "0", "-c", "512"}) words.push_back(word);
  words[2] = tiny_model_file();
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

RunResult chat(const std::string& input, const Words& more = {"-n", "6"},
               const Words& environment = {}) {
  return run_minke(with_model({"chat"}, more), environment, input);
}

RunResult run(const Words& more, const std::string& input = {}) {
  return run_minke(with_model({"run"}, more), {}, input);
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

size_t count(const std::string& text, char c) {
  return static_cast<size_t>(std::count(text.begin(), text.end(), c));
}

}  // namespace

TEST_CASE("chat: in a pipe each line is a turn, and only answers go to stdout") {
  const RunResult one = chat("Hello\n");
  CHECK(one.exit_code == 0);
  CHECK(one.err.empty());
  CHECK(one.out.ends_with('\n'));
  CHECK(!has(one.out, "\x1b"));
  CHECK(!has(one.out, ">>>"));
  const RunResult two = chat("Hello\n\nAgain");
  CHECK(two.exit_code == 0);
  CHECK(two.out.starts_with(one.out));
  CHECK(two.out.size() > one.out.size());
  CHECK(chat("").out.empty());
}

TEST_CASE("chat: the second turn reads only what is new") {
  const RunResult result = chat("Hello there, how are you?\nAnd now?\n", {"-n", "6", "--timings"});
  INFO(result.err);
  int n_prompt = 0, n_cached = 0;
  const size_t second = result.err.rfind("[prompt ");
  REQUIRE(second != std::string::npos);
  REQUIRE(second > 0);
  REQUIRE(std::sscanf(result.err.c_str() + second, "[prompt %d tokens (%d cached)", &n_prompt,
                      &n_cached) == 2);
  int n_first = 0;
  REQUIRE(std::sscanf(result.err.c_str(), "[prompt %d tokens", &n_first) == 1);
  // The first prompt and its answer but the last token, which nothing was computed of.
  CHECK(n_cached == n_first + 5);
  CHECK(n_prompt > n_cached);
}

TEST_CASE("chat: commands work in a pipe") {
  const RunResult plain = chat("Hello\n");
  const RunResult cleared = chat("Something else\n/clear\nHello\n/bye\nnever read\n");
  CHECK(cleared.exit_code == 0);
  CHECK(cleared.out.ends_with(plain.out));
  CHECK(cleared.out.size() > plain.out.size());
  CHECK(has(cleared.err, "forgotten"));

  const RunResult shown =
      chat("/show info\n/show parameters\n/show system\n/show template\n/help\n");
  CHECK(shown.exit_code == 0);
  CHECK(shown.out.empty());
  for (const char* part :
       {"context     512 tokens", "temp                  0                      you",
        "no system text", "Assistant: FIRST ANSWER", "/set parameter"})
    CHECK(has(shown.err, part));

  // At temperature 0 the answer made anew is the same.
  CHECK(chat("Hello\n/regen\n").out == plain.out + plain.out);
  CHECK(chat("/set parameter num_predict 2\nHello\n").out.size() < plain.out.size());
  CHECK(chat("/set system Be brief.\nHello\n").out ==
        chat("Hello\n", {"-n", "6", "-sys", "Be brief."}).out);
}

TEST_CASE("chat: several lines between quotes are one message") {
  const RunResult quoted = chat("\"\"\"one\ntwo\n/bye\"\"\"\n/show info\n");
  CHECK(quoted.exit_code == 0);
  CHECK(has(quoted.err, "turns       1"));
  CHECK(quoted.out == chat("", {"-n", "6", "-p", "one\ntwo\n/bye"}).out);
  CHECK(has(chat("/set system \"\"\"a\nb\"\"\"\n/show system\n").err, "a\nb"));
}

TEST_CASE("chat: /read puts a file before the next message") {
  const TempDir dir;
  write_file(dir / "f.txt", "A file.\n");
  const RunResult read = chat("/read " + std::string(dir / "f.txt") + "\nWhat is it?\n");
  CHECK(read.exit_code == 0);
  CHECK(read.out == chat("", {"-n", "6", "-p", "A file.\n\nWhat is it?"}).out);

  write_file(dir / "long.txt", std::string(2000, '7'));
  const RunResult kept = chat("/read " + std::string(dir / "long.txt") + "\nHi\n/clear\nHello\n");
  CHECK(has(kept.err, "the context holds 512"));
  CHECK(has(kept.err, "still stands before the next message; /clear drops it"));
  CHECK(kept.out == chat("Hello\n").out);
}

TEST_CASE("chat: a saved session goes on as if it had not ended") {
  const TempDir dir;
  const std::string file = dir / "s.json";
  const RunResult whole = chat("Hello\nAnd you?\n");
  const RunResult first = chat("Hello\n/save " + file + "\n");
  CHECK(first.exit_code == 0);
  const RunResult second = chat("/load " + file + "\nAnd you?\n");
  CHECK(second.exit_code == 0);
  CHECK(first.out + second.out == whole.out);

  std::string text = read_file(file);
  text[text.find("Hello")] = 'J';
  write_file(file, text);
  const RunResult damaged = chat("/load " + file + "\nHello\n");
  CHECK(damaged.exit_code == 65);
  CHECK(has(damaged.err, "checksum"));
  CHECK(damaged.out == chat("Hello\n").out);  // the chat went on
}

TEST_CASE("chat: /save does not replace the model") {
  const RunResult result = chat("/save " + std::string(tiny_model_file()) + "\n");
  CHECK(result.exit_code == 1);
  CHECK(has(result.err, "is what is read"));
}

TEST_CASE("chat: a full context is told, and the session lives on") {
  const std::string long_line(400, '7');
  const RunResult result =
      chat(long_line + long_line + "\nHi\n/clear\nHello\n", {"-n", "4", "-c", "128"});
  CHECK(result.exit_code == 1);
  CHECK(has(result.err, "the context holds 128"));
  CHECK(has(result.err, "/clear"));
  CHECK(count(result.out, '\n') >= 2);

  const RunResult filled = chat("Hello\n", {"-c", "64", "--ignore-eos"});
  CHECK(filled.exit_code == 1);
  CHECK(has(filled.err, "the context is full (64 tokens)"));
  CHECK(!filled.out.empty());
}

TEST_CASE("chat: what is wrong in a pipe gives the exit code, and the rest still runs") {
  const RunResult result = chat("/nonsense\nHello\n");
  CHECK(result.exit_code == 1);
  CHECK(has(result.err, "unknown command '/nonsense'"));
  CHECK(result.out == chat("Hello\n").out);
  CHECK(chat("/set parameter temp hot\n").exit_code == 1);
  CHECK(chat("/regen\n").exit_code == 1);
  CHECK(chat("/load /no/such/file\n").exit_code == 66);
  CHECK(chat("\xff\xfe\n").exit_code == 65);
}

TEST_CASE("chat: a first prompt, a single turn, the environment") {
  const std::string hello = chat("Hello\n").out;
  CHECK(chat("", {"-n", "6", "-p", "Hello"}).out == hello);
  CHECK(chat("more\n", {"-n", "6", "-p", "Hello", "-st"}).out == hello);
  CHECK(chat("Hello\nmore\n", {"-n", "6", "-st"}).out == hello);
  CHECK(chat("Hello\n", {}, {"MINKE_PREDICT=6"}).out == hello);
  CHECK(chat("Hello\n", {"-n", "6"}, {"MINKE_PREDICT=2"}).out == hello);
  CHECK(chat("Hello\n", {"-n", "6", "-ctk", "f32", "-ub", "16"}).out == hello);
}

TEST_CASE("run: only the answer, the same by every way to give the prompt") {
  const TempDir dir;
  write_file(dir / "p.txt", "Hello\n");
  const RunResult result = run({"-n", "6", "-p", "Hello"});
  CHECK(result.exit_code == 0);
  CHECK(result.err.empty());
  CHECK(result.out == chat("Hello\n").out);
  CHECK(run({"-n", "6", "-f", dir / "p.txt"}).out == result.out);
  CHECK(run({"-n", "6"}, "Hello\n").out == result.out);
  CHECK(run({"-n", "6", "-p", "-"}, "Hello\n").out == result.out);
  CHECK(run({"-n", "6", "-p", "Hello", "-b", "3"}).out == result.out);
  CHECK(run({"-n", "6", "-p", "Hello", "--raw"}).out != result.out);
  CHECK(run({"-n", "0", "-p", "Hello"}).out.empty());
}

TEST_CASE("run: the tokens of the prompt and what was used can be seen") {
  const RunResult result = run({"-n", "2", "-p", "Hi", "--verbose-prompt", "-v", "--timings"});
  CHECK(has(result.err, "<｜begin▁of▁sentence｜>"));
  CHECK(has(result.err, "temp                  0                      you"));
  CHECK(has(result.err, "tokens/s"));
}

TEST_CASE("run and chat: bad input is one clear line and the right exit code") {
  const TempDir dir;
  const std::string model = tiny_model_file();
  write_file(dir / "empty.gguf", "");
  write_file(dir / "text.gguf", "This is no model at all, but a text.\n");
  const std::string bytes = read_file(model);
  write_file(dir / "cut.gguf", std::string_view(bytes).substr(0, bytes.size() / 2));
  for (const std::string command : {"run", "chat"}) {
    INFO(command);
    const auto with = [&](const std::string& file, const Words& more = {}) {
      Words words = {command, "-p", "x", "-n", "1", "-st", "-m", file};
      if (command == "run") words.erase(words.begin() + 5);
      words.insert(words.end(), more.begin(), more.end());
      return run_minke(words);
    };
    check_refused(with(dir / "none.gguf"), 66, "none.gguf");
    check_refused(with(dir.path()), 74, dir.path().filename().string());
    check_refused(with(dir / "empty.gguf"), 65, "empty.gguf");
    check_refused(with(dir / "text.gguf"), 65, "text.gguf");
    check_refused(with(dir / "cut.gguf"), 65, "cut.gguf");
    check_refused(with(dir / "a\n\x1b[1m"), 66, "a\\x0a\\x1b[1m");
    check_refused(with(model, {"--chat-template", "\x1b[1m"}), 1, "'\\x1b[1m'");
    check_refused(with(model, {"--samplers", "\x1b[1m"}), 1, "'\\x1b[1m'");
    check_refused(with(model, {"--nonsense"}), 1, "--nonsense");
    check_refused(with(model, {"-t", "0"}), 1, "--threads");
    check_refused(with(model, {"-t", "10000"}), 1, "--threads");
    check_refused(with(model, {"-ctk", "q9"}), 1, "--cache-type-k");
    check_refused(with(model, {"-ctk", "q4_k"}), 1, "f32, f16, bf16, q8, q8_0, fp8, q6, q4");
    check_refused(with(model, {"-ctk", ""}), 1, "--cache-type-k");
    check_refused(with(model, {"--top-p", "7"}), 1, "top_p");
    check_refused(with(model, {"-l", "99999+1"}), 1, "99999");
    check_refused(with(model, {"--chat-template", "zz"}), 1, "zz");
    check_refused(with(model, {"--chat-template-file", dir / "none.jinja"}), 66, "none.jinja");
    check_refused(with(model, {"--chat-template-file", dir / "text.gguf"}), 1, "text.gguf");
    check_refused(run_minke({command, "-m", model, "-f", dir / "none.txt"}), 66, "none.txt");
    check_refused(run_minke({command}), 1, "--model");
  }
}

TEST_CASE("run and chat: texts are UTF-8, and an empty prompt is an error") {
  const TempDir dir;
  write_file(dir / "empty.txt", "\n");
  for (const std::string command : {"run", "chat"}) {
    INFO(command);
    const auto with = [&](const Words& more) { return run_minke(with_model({command}, more)); };
    check_refused(with({"-p", "x", "-sys", "caf\xe9"}), 1, "--system-prompt: is not UTF-8");
    check_refused(with({"-p", "caf\xe9"}), 1, "--prompt: is not UTF-8");
    check_refused(with({"-p", "x", "--dry-sequence-breaker", "\xe9"}), 1, "is not UTF-8");
    check_refused(with({"-p", ""}), 1, "the prompt is empty");
    check_refused(with({"-f", dir / "empty.txt"}), 1, "the prompt is empty");
    check_refused(with({"-p", "", "-f", dir / "empty.txt"}), 1, "not both");
    check_refused(with({"-f", ""}), 1, "the value is empty");
  }
  check_refused(run({}), 1, "the prompt is empty");
  CHECK(run({"-p", "Hello", "-n", "6", "-sys", ""}).out == chat("Hello\n").out);
}

TEST_CASE("run and chat: a context longer than the model's is told") {
  const RunResult answer = run({"-p", "Hello", "-n", "6"});
  const RunResult longer = run({"-p", "Hello", "-n", "6", "-c", "2561"});
  CHECK(longer.exit_code == 0);
  CHECK(longer.out == answer.out);
  CHECK(has(longer.err, "a context of 2561 tokens is longer than the 2560"));
  CHECK(count(longer.err, '\n') == 1);
  CHECK(run({"-p", "Hello", "-n", "6", "-c", "2560"}).err.empty());
  CHECK(has(chat("Hello\n", {"-n", "1", "-c", "2561"}).err, "longer than the 2560"));
}

TEST_CASE("run and chat: an unknown flag is named, with the one that is meant") {
  const auto refused = [](const Words& flag, const std::string& part) {
    Words words = {"-p", "-hello", "-n1"};
    words.insert(words.end(), flag.begin(), flag.end());
    check_refused(run(words), 1, "unknown argument '" + flag[0] + "' (" + part);
  };
  refused({"--tempp", "1"}, "did you mean --temp?");
  refused({"--top_k", "1"}, "did you mean --top-k?");
  refused({"--threds=2"}, "did you mean --threads?");
  refused({"--system", "x"}, "did you mean --system-prompt?");
  refused({"--verbos"}, "did you mean --verbose?");
  for (const char* flag : {"--no-mmap", "--keep", "--grammar", "--flash-attn", "-ngl", "-ctv",
                           "-fa", "-hf", "--n-gpu-layers", "-Z", "value"})
    refused({flag, "9"}, "see minke run --help)");
  // What looks like a flag may be a value, and numbers may follow their flag at once.
  CHECK(run({"-p", "-hello", "-n1", "-s3"}).exit_code == 0);
}

TEST_CASE("threads that cannot be started are one clear line") {
  // Stacks of 256 GiB: no 1024 of them have room.
  const ProgramResult result =
      run_program({"sh", "-c", "ulimit -s 268435456 || exit 77; exec \"$0\" \"$@\"", MINKE_BINARY,
                   "run", "-m", tiny_model_file(), "-p", "Hello", "-t", "1024"});
  if (result.exit_code == 77) {
    MESSAGE("skipped: the limit of the stack cannot be raised here");
    return;
  }
  check_refused({result.exit_code, result.out, result.err}, 1, "cannot start thread");
}

TEST_CASE("run: a prompt longer than the context names both numbers") {
  const RunResult result = run({"-p", std::string(3000, '7')});
  check_refused(result, 1, "the context holds 512");
}

TEST_CASE("run and chat: a full disk is an I/O error") {
  const std::string model = tiny_model_file();
  for (const std::string command : {"run", "chat"}) {
    const ProgramResult result =
        run_program({"sh", "-c", "\"$0\" \"$@\" >/dev/full", MINKE_BINARY, command, "-m", model,
                     "-p", "Hello", "-n", "4", "--temp", "0"});
    INFO(result.err);
    CHECK(result.exit_code == 74);
    CHECK(count(result.err, '\n') == 1);
  }
}

TEST_CASE("chat: Ctrl-C in a pipe ends it with 130") {
  const ProgramResult result =
      run_program({"sh", "-c", "\"$0\" \"$@\" & sleep 1; kill -INT $!; wait $!", MINKE_BINARY,
                   "chat", "-m", tiny_model_file(), "-p", "Hello", "-n", "100000", "--ignore-eos",
                   "-c", "100000", "-t", "1"});
  INFO(result.err);
  CHECK(result.exit_code == 130);
}
