// The deepseek-llm splits without a regex: every byte gets the classes of its character once, then
// each split is a scan over those bytes. Equal, piece by piece, to the sequence of patterns
//   [\r\n]   \s?[letter]+   \s?[punctuation]+   \s+$   [cjk]+   \p{N}
// (a test compares them), several times as fast, and linear also where `\s+$` is quadratic.
#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

#include "models/deepseek_llm_classes.h"
#include "models/pretokenizer.h"
#include "runtime/utf8_step.h"

namespace minke {
namespace {

// A character may be in several classes: U+3000 is space, punctuation and CJK.
enum CharClass : uint8_t {
  kIsNewline = 1,
  kIsSpace = 2,
  kIsLetter = 4,
  kIsPunctuation = 8,
  kIsCjk = 16,
  kIsNumber = 32,
  kIsInvalid = 64,  ///< Not UTF-8.
  kIsStart = 128,   ///< First byte of a character; the others have the same classes without it.
};

constexpr uint32_t kTableSize = 0x20000;  // beyond, no character is in any class

void append_utf8(uint32_t c, std::string& out) {
  const auto put = [&](uint32_t byte) { out += static_cast<char>(byte); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | c >> 6);
    put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12);
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | c >> 18);
    put(0x80 | (c >> 12 & 0x3F));
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

/// Classes by code point, found by matching each class against a text of all characters.
std::vector<uint8_t> build_table() {
  std::string all;
  for (uint32_t c = 0; c < kTableSize; ++c) {
    if (c < 0xD800 || c > 0xDFFF) append_utf8(c, all);
  }
  std::vector<uint8_t> table(kTableSize, 0);
  const auto add = [&](const char* inside, CharClass flag) {
    const Regex regex(fmt::format("[{}]+", inside));
    Regex::Matcher matcher(regex);
    for (auto [begin, end] = matcher.find(all, 0); begin != std::string::npos;) {
      for (size_t i = begin; i < end;) {
        const Utf8Step step = utf8_step(std::string_view(all).substr(i));
        table[step.code_point] |= flag;
        i += step.length;
      }
      std::tie(begin, end) = matcher.find(all, end);
    }
  };
  add(deepseek_llm::kNewline, kIsNewline);
  add(deepseek_llm::kSpace, kIsSpace);
  add(deepseek_llm::kLetter, kIsLetter);
  add(deepseek_llm::kPunctuation, kIsPunctuation);
  add(deepseek_llm::kCjk, kIsCjk);
  add(deepseek_llm::kNumber, kIsNumber);
  return table;
}

std::vector<uint8_t> classify(std::string_view text) {
  static const std::vector<uint8_t> table = build_table();
  std::vector<uint8_t> classes(text.size());
  for (size_t i = 0; i < text.size();) {
    const auto byte = static_cast<uint8_t>(text[i]);
    if (byte < 0x80) {
      classes[i++] = table[byte] | kIsStart;
      continue;
    }
    const Utf8Step step = utf8_step(text.substr(i));
    uint8_t flags = kIsInvalid;
    if (step.kind == Utf8Step::Kind::kValid) {
      flags = step.code_point < kTableSize ? table[step.code_point] : uint8_t{0};
    }
    classes[i] = flags | kIsStart;
    for (size_t k = 1; k < step.length; ++k) classes[i + k] = flags;
    i += step.length;
  }
  return classes;
}

/// The splits in their order; each hands its pieces [begin, end) on to the next.
class Splitter {
 public:
  Splitter(const std::vector<uint8_t>& classes, std::vector<size_t>& ends)
      : classes_(classes), ends_(ends) {}

  void newlines() {
    const size_t n = classes_.size();
    for (size_t i = 0; i < n;) {
      if (is(i, kIsNewline)) {
        ends_.push_back(++i);  // one by one; no later split cuts a single character
        continue;
      }
      const size_t begin = i;
      if (is(i, kIsInvalid)) {
        while (i < n && is(i, kIsInvalid)) ++i;
        ends_.push_back(i);
      } else {
        while (i < n && !is(i, kIsNewline | kIsInvalid)) ++i;
        spaced_runs<kIsLetter>(begin, i);
      }
    }
  }

 private:
  bool is(size_t i, uint8_t flags) const noexcept { return (classes_[i] & flags) != 0; }

  /// `\s?[class]+`: a run of the class takes the space character just before it along.
  template <CharClass kClass>
  void spaced_runs(size_t begin, size_t end) {
    size_t rest = begin;  // start of what no match has taken
    for (size_t i = begin; i < end;) {
      if (!is(i, kClass)) {
        ++i;
        continue;
      }
      size_t start = i;
      if (start > rest && is(start - 1, kIsSpace)) {
        do --start;
        while (!is(start, kIsStart));
      }
      while (i < end && is(i, kClass)) ++i;
      after_runs<kClass>(rest, start);
      after_runs<kClass>(start, i);
      rest = i;
    }
    after_runs<kClass>(rest, end);
  }

  template <CharClass kClass>
  void after_runs(size_t begin, size_t end) {
    if (begin == end) return;
    if constexpr (kClass == kIsLetter) {
      spaced_runs<kIsPunctuation>(begin, end);
    } else {
      trailing_space(begin, end);
    }
  }

  /// `\s+$`
  void trailing_space(size_t begin, size_t end) {
    size_t start = end;
    while (start > begin && is(start - 1, kIsSpace)) --start;
    cjk_runs(begin, start);
    cjk_runs(start, end);
  }

  void cjk_runs(size_t begin, size_t end) {
    for (size_t i = begin; i < end;) {
      const bool inside = is(i, kIsCjk);
      const size_t start = i;
      while (i < end && is(i, kIsCjk) == inside) ++i;
      numbers(start, i);
    }
  }

  void numbers(size_t begin, size_t end) {
    for (size_t i = begin; i < end;) {
      const bool inside = is(i, kIsNumber);
      ++i;
      while (i < end && (inside ? !is(i, kIsStart) : !is(i, kIsNumber))) ++i;
      ends_.push_back(i);
    }
  }

  const std::vector<uint8_t>& classes_;
  std::vector<size_t>& ends_;
};

}  // namespace

void split_deepseek_llm(std::string_view text, std::vector<size_t>& ends) {
  const std::vector<uint8_t> classes = classify(text);
  Splitter(classes, ends).newlines();
}

}  // namespace minke
