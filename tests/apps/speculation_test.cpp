// Speculation from outside: the same answers, and what is told about it.
#include <doctest/doctest.h>

#include <cstdio>
#include <string>
#include <vector>

#include "tests/apps/app_model.h"
#include "tests/apps/run_minke.h"

using namespace minke::test;

namespace {

using Words = std::vector<std::string>;

const Words kGuess = {"--spec-type", "ngram-simple"};
const Words kGuessBoldly = {"--spec-type", "ngram-simple",        "--draft", "9", "--draft-min",
                            "9",           "--spec-ngram-size-n", "1"};

RunResult start(const std::string& command, Words words, const Words& more,
                const std::string& input = {}, const Words& environment = {}) {
  words.insert(words.begin(), {command, "-m", tiny_model_file(), "-t", "1", "-c", "512"});
  words.insert(words.end(), more.begin(), more.end());
  return run_minke(words, environment, input);
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("run: the same answer with and without speculation") {
  const std::string prompt = "to be or not to be or not to be or not to";
  for (const Words& sampling :
       {Words{"--temp", "0"}, Words{"--temp", "0.7", "-s", "5"},
        Words{"--temp", "0.7", "-s", "5", "--repeat-penalty", "1.3", "--dry-multiplier", "0.8"}}) {
    Words words = {"--raw", "-p", prompt, "-n", "80", "--ignore-eos"};
    words.insert(words.end(), sampling.begin(), sampling.end());
    const RunResult plain = start("run", words, {});
    CHECK(plain.exit_code == 0);
    CHECK(!plain.out.empty());
    for (const Words& guess : {kGuess, kGuessBoldly}) {
      const RunResult result = start("run", words, guess);
      CHECK(result.exit_code == 0);
      CHECK(result.out == plain.out);
      CHECK(result.err.empty());
    }
  }
}

TEST_CASE("run: timings tell of guesses, where there is speculation") {
  const Words words = {"--raw",  "-p", "to be or not to be or not to",
                       "-n",     "60", "--ignore-eos",
                       "--temp", "0",  "--timings"};
  CHECK(!has(start("run", words, {}).err, "guessed"));
  const RunResult result = start("run", words, kGuessBoldly);
  INFO(result.err);
  int guessed = -1, right = -1;
  double share = -1, per_step = -1;
  const size_t at = result.err.find("; guessed ");
  REQUIRE(at != std::string::npos);
  REQUIRE(std::sscanf(result.err.c_str() + at, "; guessed %d tokens, %d right (%lf %%), %lf tokens",
                      &guessed, &right, &share, &per_step) == 4);
  CHECK(guessed > 0);
  CHECK(right <= guessed);
  CHECK(share == doctest::Approx(100.0 * right / guessed).epsilon(0.01));
  CHECK(per_step == doctest::Approx(59.0 / (59 - right)).epsilon(0.01));
  // Nothing to guess from.
  const RunResult none = start("run", {"--raw", "-p", "a", "-n", "2", "--timings"}, kGuess);
  CHECK(has(none.err, "; guessed 0 tokens, 0 right (0.0 %), 1.00 tokens a step]"));
}

TEST_CASE("chat: the same conversation with and without speculation, which can be set on the way") {
  const std::string input = "one two one two one two\nagain one two one two\n";
  const Words words = {"-n", "40", "--temp", "0.4", "-s", "3"};
  const RunResult plain = start("chat", words, {}, input);
  CHECK(plain.exit_code == 0);
  CHECK(start("chat", words, kGuessBoldly, input).out == plain.out);
  CHECK(
      start("chat", words, {}, input, {"MINKE_SPEC_TYPE=ngram-simple", "MINKE_DRAFT_MIN=4"}).out ==
      plain.out);
  const RunResult set = start("chat", words, {"--timings"},
                              "/set parameter spec_type ngram-simple\n/set parameter draft-min 2\n"
                              "/set parameter draft-max 1\n" +
                                  input + "/show parameters\n");
  CHECK(set.out == plain.out);
  CHECK(has(set.err, "spec_type is ngram-simple now."));
  CHECK(has(set.err, "guessed"));
  CHECK(has(set.err, "draft_min must be at most draft_max, which is 1 (got 2)"));
  CHECK(has(set.err, "draft_max             16                     Minke"));
  CHECK(has(set.err, "draft_min             2                      you"));
}

TEST_CASE("run: wrong options of speculation are refused") {
  const auto refusal = [](const Words& options) { return start("run", {"-p", "x"}, options); };
  check_refused(refusal({"--spec-type", "magic"}), 1, "none or ngram-simple");
  check_refused(refusal({"--draft-max", "0"}), 1, "draft_max must be from 1 to 31 (got 0)");
  check_refused(refusal({"--draft", "99"}), 1, "from 1 to 31 (got 99)");
  check_refused(refusal({"--draft-min", "-1"}), 1, "from 0 to 31 (got -1)");
  check_refused(refusal({"--spec-ngram-size-n", "33"}), 1, "from 1 to 32 (got 33)");
  check_refused(refusal({"--draft-max", "many"}), 1, "whole number");
  // Whichever comes first; and what fits in the end is no error on the way.
  const std::string order = "draft_min must be at most draft_max, which is 3 (got 4)";
  check_refused(refusal({"--draft-max", "3", "--draft-min", "4"}), 1, order);
  check_refused(refusal({"--draft-min", "4", "--draft-max", "3"}), 1, order);
  check_refused(refusal({"--draft-min", "17"}), 1, "which is 16 (got 17)");
  CHECK(refusal({"--draft-min", "17", "--draft-max", "17", "-n", "1"}).exit_code == 0);
}
