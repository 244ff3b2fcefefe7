#include "models/ngram_drafter.h"

#include <doctest/doctest.h>

#include <string_view>

using namespace minke;

namespace {

using Tokens = std::vector<TokenId>;

constexpr TokenId kEnd = '$';

/// Letters as tokens, so that contexts can be read.
Tokens tokens_of(std::string_view text) { return {text.begin(), text.end()}; }

Speculation wanted(int draft_min, int ngram_size = 2) {
  return {.on = true, .draft_max = 16, .draft_min = draft_min, .ngram_size = ngram_size};
}

std::string draft_of(const NgramDrafter& drafter, std::string_view context, int n_most,
                     StepOutlook step = {.rows = 1, .tokens = 1}) {
  Tokens draft;
  drafter.draft(tokens_of(context), kEnd, n_most, step, draft);
  return {draft.begin(), draft.end()};
}

/// What is guessed first in a context, `n` tokens whatever they cost.
std::string guess(std::string_view context, int n, int ngram_size = 2) {
  NgramDrafter drafter(wanted(n, ngram_size));
  drafter.update(tokens_of(context));
  return draft_of(drafter, context, n);
}

/// Of a drafter that has followed a text from its token `from` on.
NgramDrafter followed(std::string_view text, size_t from, const Speculation& speculation) {
  NgramDrafter drafter(speculation);
  for (size_t n = from; n <= text.size(); ++n) drafter.update(tokens_of(text.substr(0, n)));
  return drafter;
}

}  // namespace

TEST_CASE("a draft goes on as after the longest match, the latest of equals") {
  CHECK(guess("abcdef_abc", 3) == "def");
  CHECK(guess("xabc1 abc2 bc3 abc", 1) == "2");
  CHECK(guess("abc1 xabc2 xabc", 2) == "2 ");
  CHECK(guess("zabc1 abc2 zabc", 1) == "1");
}

TEST_CASE("a draft goes on in the rhythm of a repetition beyond the end of the context") {
  CHECK(guess("abab", 5) == "ababa");
  CHECK(guess("-xxx", 4) == "xxxx");
  CHECK(guess("abcabc", 7) == "abcabca");
}

TEST_CASE("there is no draft without a match that is long enough") {
  CHECK(guess("abcdefg", 4).empty());
  CHECK(guess("a", 4).empty());
  CHECK(guess("ab_cb", 4).empty());
  CHECK(guess("ab_cb", 4, 1) == "_cb_");
  CHECK(guess("abcd_xbcd", 2, 3) == "_x");
  CHECK(guess("abcd_xbcd", 2, 4).empty());
}

TEST_CASE("after a right guess the match goes on; after a wrong one another is looked for") {
  const std::string_view text = "abcdX bcdY abcd";
  CHECK(draft_of(followed(text, 14, wanted(1)), text, 1) == "X");
  // X did not come: "dZ" is new.
  const std::string_view surprise = "abcdX bcdY abcdZ";
  CHECK(draft_of(followed(surprise, 14, wanted(1)), surprise, 1).empty());
  const std::string_view again = "abcdX bcdY abcdY ab";
  CHECK(draft_of(followed(again, 14, wanted(3)), again, 3) == "cdY");
}

TEST_CASE("drafts have as many tokens as pay") {
  const Speculation speculation = wanted(0);
  // A short match alone does not: it is right less often than a row costs.
  CHECK(draft_of(followed("ab_ab", 5, speculation), "ab_ab", 16).empty());
  // A long one does, the longer the more.
  const std::string unit = "the quick brown fox jumps over a lazy dog. ";
  const std::string once = unit + "the quick", twice = unit + unit + unit + "the quick";
  const size_t after_once = draft_of(followed(once, once.size(), speculation), once, 16).size();
  const size_t after_many =
      draft_of(followed(twice, unit.size() + 1, speculation), twice, 16).size();
  CHECK(after_once >= 1);
  CHECK(after_many > after_once);
  CHECK(after_many == 16);
  CHECK(draft_of(followed(twice, unit.size() + 1, speculation), twice, 5).size() == 5);
  CHECK(draft_of(followed(twice, unit.size() + 1, speculation), twice, 0).empty());
}

TEST_CASE("guesses that prove wrong are not made any more, until they prove right") {
  // "abcd" comes again and again, with something else after it.
  std::string text = "|abcd0";
  NgramDrafter drafter(wanted(0, 5));
  const auto say = [&](std::string_view more) {
    for (const char c : more) {
      text += c;
      drafter.update(tokens_of(text));
    }
  };
  say("|abcd");
  CHECK(draft_of(drafter, text, 1) == "0");
  for (const char c : std::string_view("123456789")) {
    say(std::string(1, c) + "|");
    say("abcd");
  }
  CHECK(draft_of(drafter, text, 1).empty());
  for (int i = 0; i < 9; ++i) say("=|abcd");
  CHECK(draft_of(drafter, text, 1) == "=");
}

TEST_CASE(
    "a draft brings the step's outlook up to date, and pays more where more rows run anyway") {
  NgramDrafter drafter(wanted(0));
  const std::string text = "0123456789abcdef-0123456789";
  drafter.update(tokens_of(text));
  Tokens draft;
  StepOutlook step{.rows = 1, .tokens = 1};
  drafter.draft(tokens_of(text), kEnd, 16, step, draft);
  REQUIRE(!draft.empty());
  CHECK(step.rows == 1 + static_cast<int>(draft.size()));
  CHECK(step.tokens > 1.5);
  CHECK(step.tokens < 1.0 + static_cast<double>(draft.size()));
  // Four sequences that give a token each: a row more costs less than it did alone.
  StepOutlook one{.rows = 1, .tokens = 1}, reading{.rows = 12, .tokens = 1};
  Tokens few, many;
  drafter.draft(tokens_of(text), kEnd, 16, one, few);
  drafter.draft(tokens_of(text), kEnd, 16, reading, many);
  CHECK(many.size() > few.size());
}

TEST_CASE("a draft stops before the end of an answer, and counts what it has") {
  NgramDrafter drafter(wanted(9));
  const std::string text = "abcdef$gh-abcd";
  drafter.update(tokens_of(text));
  Tokens draft;
  StepOutlook step{.rows = 1, .tokens = 1};
  drafter.draft(tokens_of(text), kEnd, 9, step, draft);
  CHECK(draft == tokens_of("ef"));
  CHECK(step.rows == 3);
  CHECK(step.tokens < 3);
  CHECK(guess("ab$-ab", 3).empty());
}

TEST_CASE("speculation out of range is refused") {
  CHECK(check(Speculation{}));
  CHECK_FALSE(check({.draft_max = 0}));
  CHECK_FALSE(check({.draft_max = 32}));
  CHECK_FALSE(check({.draft_min = -1}));
  CHECK_FALSE(check({.draft_min = 32}));
  CHECK_FALSE(check({.ngram_size = 0}));
  CHECK(check({.draft_max = 3, .draft_min = 3}));
  const Status order = check({.draft_max = 3, .draft_min = 4});
  REQUIRE_FALSE(order);
  CHECK(order.error().message == "draft_min must be at most draft_max, which is 3 (got 4)");
  CHECK(check_ranges({.draft_max = 3, .draft_min = 4}));
  const Status size = check({.ngram_size = 33});
  REQUIRE_FALSE(size);
  CHECK(size.error().code == Errc::kUsage);
  CHECK(size.error().message == "spec_ngram_size_n must be from 1 to 32 (got 33)");
}
