// `minke tokenize` from outside.
#include <doctest/doctest.h>

#include <string>

#include "tests/apps/run_minke.h"
#include "tests/models/small_vocabulary.h"
#include "tests/support.h"

using namespace minke::test;

namespace {

/// 256 "he", 257 "ll"; 258 BOS.
SmallVocabulary vocabulary() {
  SmallVocabulary v;
  v.merges = {"h e", "l l"};
  v.added = {{"<｜begin▁of▁sentence｜>", 3}};
  v.ids = {{"tokenizer.ggml.bos_token_id", 258}};
  return v;
}

}  // namespace

TEST_CASE("tokenize: prints ids, pieces, counts, and the text of ids") {
  const TempDir dir;
  vocabulary().write(dir / "v.gguf");
  write_file(dir / "text", "hello\n");
  const std::string model = dir / "v.gguf";
  CHECK(run_minke({"tokenize", "-m", model, "-p", "hello"}).out == "256 257 111\n");
  CHECK(run_minke({"tokenize", "-m", model, "-p", ""}).out == "\n");
  // A file is read byte for byte, and so is the standard input.
  CHECK(run_minke({"tokenize", "-m", model, "-f", dir / "text"}).out == "256 257 111 10\n");
  CHECK(run_minke({"tokenize", "-m", model, "-f", "-"}, {}, "hell\xFF").out == "256 257 255\n");
  CHECK(run_minke({"tokenize", "-m", model, "-p", "he", "--bos"}).out == "258 256\n");
  CHECK(run_minke({"tokenize", "-m", model, "-p", "hello", "--show-count"}).out == "3\n");
  CHECK(run_minke({"tokenize", "-m", model, "-p", "he\n", "--pieces"}).out ==
        "   256 -> 'he'\n    10 -> '\\x0a'\n");
  const std::string bos = "<｜begin▁of▁sentence｜>";
  CHECK(run_minke({"tokenize", "-m", model, "-p", bos, "--special"}).out == "258\n");
  CHECK(run_minke({"tokenize", "-m", model, "-p", bos}).out != "258\n");
  CHECK(run_minke({"tokenize", "-m", model, "-p", "256 257,111 10", "--decode"}).out == "hello\n");
}

TEST_CASE("tokenize: bad input is one line and the right exit code") {
  const TempDir dir;
  vocabulary().write(dir / "v.gguf");
  const std::string model = dir / "v.gguf";
  check_refused(run_minke({"tokenize"}), 1, "no model");
  check_refused(run_minke({"tokenize", "-m", model}), 1, "no text");
  check_refused(run_minke({"tokenize", "-m", model, "-p", "a", "-f", "b"}), 1, "--file");
  check_refused(run_minke({"tokenize", "-m", model, "-f", dir / "none"}), 66, "none");
  check_refused(run_minke({"tokenize", "-m", dir / "none.gguf", "-p", "a"}), 66, "none.gguf");
  check_refused(run_minke({"tokenize", "-m", model, "-p", "259", "--decode"}), 1,
                "'259' is not a token");
  check_refused(run_minke({"tokenize", "-m", model, "-p", "1x", "--decode"}), 1,
                "'1x' is not a token");
  SmallVocabulary other = vocabulary();
  other.pre = "gpt-4o";
  other.write(dir / "other.gguf");
  check_refused(run_minke({"tokenize", "-m", dir / "other.gguf", "-p", "a"}), 1,
                "'gpt-4o' is not known (known: 'deepseek-llm', 'deepseek-v3')");
}
