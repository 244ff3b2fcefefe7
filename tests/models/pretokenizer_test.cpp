#include "models/pretokenizer.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "models/deepseek_llm_classes.h"
#include "tests/models/random_text.h"
#include "tests/support.h"

using namespace minke;
using Words = std::vector<std::string>;

namespace {

Words cut(std::string_view text, const std::vector<size_t>& ends) {
  Words words;
  size_t begin = 0;
  for (const size_t end : ends) {
    words.emplace_back(text.substr(begin, end - begin));
    begin = end;
  }
  CHECK(begin == text.size());
  return words;
}

Words split(SplitWords splitter, std::string_view text) {
  std::vector<size_t> ends;
  splitter(text, ends);
  return cut(text, ends);
}

/// The splits as model.md of the family lists them, by PCRE2.
const std::vector<Regex>& reference_splits() {
  static const std::vector<Regex> splits = [] {
    const std::string space = std::string("[") + deepseek_llm::kSpace + "]";
    const auto in_class = [](const char* inside) { return std::string("[") + inside + "]"; };
    std::vector<Regex> all;
    all.emplace_back(in_class(deepseek_llm::kNewline));
    all.emplace_back(space + "?" + in_class(deepseek_llm::kLetter) + "+");
    all.emplace_back(space + "?" + in_class(deepseek_llm::kPunctuation) + "+");
    all.emplace_back(space + "+$");
    all.emplace_back(in_class(deepseek_llm::kCjk) + "+");
    all.emplace_back(in_class(deepseek_llm::kNumber));
    return all;
  }();
  return splits;
}

void check_against_reference(std::string_view text) {
  std::vector<size_t> expected, got;
  split_by_patterns(reference_splits(), text, expected);
  split_deepseek_llm(text, got);
  if (got != expected) {
    const std::string shown(text);
    CAPTURE(shown);
    CHECK(cut(text, got) == cut(text, expected));
  }
}

}  // namespace

TEST_CASE("deepseek-llm splits") {
  const auto words = [](std::string_view text) { return split(split_deepseek_llm, text); };
  CHECK(words("").empty());
  CHECK(words("Hello world!") == Words{"Hello", " world", "!"});
  CHECK(words("a  b") == Words{"a", " ", " b"});
  CHECK(words("\n\n x\r\n") == Words{"\n", "\n", " x", "\r", "\n"});
  CHECK(words("  \n ") == Words{"  ", "\n", " "});
  CHECK(words("x = 123;") == Words{"x", " =", " ", "1", "2", "3", ";"});
  CHECK(words("中文abc") == Words{"中文", "abc"});
  CHECK(words("🚀  🚀") == Words{"🚀  🚀"});
  CHECK(words("🚀  x") == Words{"🚀", " ", " x"});
  // The punctuation's range holds the ASCII letters, so a letter with an accent stands alone, and
  // within U+0800-U+4E00 the CJK split cuts once more.
  CHECK(words(" Việt") == Words{" Vi", "ệ", "t"});
  CHECK(words("été") == Words{"é", "t", "é"});
  CHECK(words("!“") == Words{"!", "“"});
  CHECK(words("!　") == Words{"!", "　"});
  CHECK(words("a\xFF\xFE b") == Words{"a", "\xFF\xFE", " b"});
  CHECK(words("a\xE4\xBD") == Words{"a", "\xE4\xBD"});
}

TEST_CASE("deepseek-v3 splits") {
  const auto words = [](std::string_view text) { return split(split_deepseek_v3, text); };
  CHECK(words("").empty());
  CHECK(words("Hello world!") == Words{"Hello", " world", "!"});
  CHECK(words("12345 6") == Words{"123", "45", " ", "6"});
  CHECK(words("x.y (z)") == Words{"x", ".y", " (", "z", ")"});
  CHECK(words("a   b\n\n  c") == Words{"a", "  ", " b", "\n\n", " ", " c"});
  CHECK(words("漢字かな한글") == Words{"漢字かな", "한글"});
  CHECK(words("it's!!\n\nok") == Words{"it", "'s", "!!\n\n", "ok"});
  CHECK(words("Việt été") == Words{"Việt", " été"});
  CHECK(words("a\xFF\xFE b") == Words{"a", "\xFF\xFE", " b"});
}

TEST_CASE("deepseek-llm equals the sequence of patterns on every character") {
  std::string text;
  for (uint32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    static constexpr std::string_view kBetween[] = {"a", " ", "!", "1", "中", "  ", "", "é"};
    test::append_utf8(c, text);
    text += kBetween[c * 2654435761u >> 29];
    if (c % 512 == 511) {
      check_against_reference(text);
      text.clear();
    }
  }
  check_against_reference(text);
}

TEST_CASE("deepseek-llm equals the sequence of patterns on random texts") {
  std::mt19937 random(11);
  for (int i = 0; i < 5000; ++i) {
    std::string text = test::random_text(random, 1 + random() % 40);
    check_against_reference(text);
    // and with bytes broken
    for (int k = 0; k < 2; ++k) text[random() % text.size()] = static_cast<char>(random());
    check_against_reference(text);
  }
}

TEST_CASE("splits agree with the reference implementation") {
  for (const std::string name : {"deepseek-llm", "deepseek-v3"}) {
    const auto path = test::data_path("pretokenizer/" + name + ".jsonl");
    const SplitWords splitter = find_pretokenizer(name).value();
    std::istringstream lines(test::read_file(path));
    std::string line;
    int n = 0;
    while (std::getline(lines, line)) {
      const auto entry = nlohmann::json::parse(line);
      CHECK(split(splitter, entry["text"].get<std::string>()) == entry["words"].get<Words>());
      ++n;
    }
    CHECK(n >= 100);
  }
}

TEST_CASE("no text takes quadratic time") {
  const size_t n = 1 << 20;
  for (const std::string unit : {" ", "a", "中", "1", "!", "\n", "\xFF", "🚀", " \n", "　"}) {
    std::string text;
    while (text.size() < n) text += unit;
    for (const std::string tail : {"", "x", "🚀", "\n"}) {
      for (const SplitWords splitter : {split_deepseek_llm, split_deepseek_v3}) {
        std::vector<size_t> ends;
        splitter(text + tail, ends);
        CHECK(ends.back() == text.size() + tail.size());
      }
    }
  }
}

TEST_CASE("an unknown pre-tokenizer is told with those known") {
  const auto found = find_pretokenizer("llama-bpe");
  REQUIRE(!found.has_value());
  CHECK(found.error().code == Errc::kUnsupported);
  CHECK(found.error().message ==
        "the pre-tokenizer 'llama-bpe' is not known (known: 'deepseek-llm', 'deepseek-v3')");
}
