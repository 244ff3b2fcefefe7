// The real vocabulary (102,400 tokens), where it is at hand.
#include <doctest/doctest.h>
#include <time.h>

#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <sstream>

#include "models/tokenizer.h"
#include "runtime/gguf_reader.h"
#include "tests/models/random_text.h"
#include "tests/support.h"

using namespace minke;
using Ids = std::vector<TokenId>;

namespace {

// The Arm build mostly runs under emulation, whose speed says nothing.
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && \
    !defined(__aarch64__)
constexpr bool kTimed = true;
#else
constexpr bool kTimed = false;
#endif

const Tokenizer* real_tokenizer() {
  static const auto tokenizer = []() -> std::optional<Tokenizer> {
    const auto path = test::shared_path_or_skip("data/deepseek-vocab.gguf");
    if (path.empty()) return std::nullopt;
    const auto file = GgufFile::open(path);
    REQUIRE(file.has_value());
    auto opened = Tokenizer::from_gguf(*file);
    REQUIRE_MESSAGE(opened.has_value(), (opened ? "" : opened.error().message));
    return std::move(*opened);
  }();
  return tokenizer ? &*tokenizer : nullptr;
}

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

/// English, code and Chinese of the vocabulary's own tokens, drawn with a long tail.
std::string mixed_text(const Tokenizer& t, size_t n_bytes) {
  std::mt19937 random(99);
  std::string text;
  while (text.size() < n_bytes) {
    const double u = static_cast<double>(random()) / 4294967296.0;
    text += t.token_bytes(static_cast<TokenId>(99999 * u * u * u));
    if (random() % 12 == 0) text += "\n    ";
    if (random() % 9 == 0) text += "，";
  }
  return text;
}

/// A file of lines {"text": ..., "ids": [...]}.
void check_ids(const Tokenizer& tokenizer, const char* name) {
  std::istringstream lines(test::read_file(test::data_path(name)));
  int n = 0;
  for (std::string line; std::getline(lines, line); ++n) {
    const auto fixture = nlohmann::json::parse(line);
    const auto text = fixture["text"].get<std::string>();
    CAPTURE(text);
    CHECK(tokenizer.encode(text) == fixture["ids"].get<Ids>());
    CHECK(tokenizer.decode(tokenizer.encode(text)) == text);
  }
  CHECK(n >= 200);
}

}  // namespace

TEST_CASE("the real vocabulary gives the published ids") {
  const Tokenizer* t = real_tokenizer();
  const auto texts_path = test::shared_path_or_skip("data/deepseek-vocab.inp");
  const auto ids_path = test::shared_path_or_skip("data/deepseek-vocab.out");
  if (t == nullptr || texts_path.empty() || ids_path.empty()) return;
  const std::string texts = test::read_file(texts_path), separator = "\n__ggml_vocab_test__\n";
  std::istringstream lines(test::read_file(ids_path));
  std::string line;
  int n = 0;
  for (size_t begin = 0; begin < texts.size(); ++n) {
    const size_t end = texts.find(separator, begin);
    if (end == std::string::npos) break;
    const std::string text = texts.substr(begin, end - begin);
    begin = end + separator.size();
    REQUIRE(std::getline(lines, line));
    Ids expected;
    std::istringstream numbers(line);
    for (TokenId id; numbers >> id;) expected.push_back(id);
    CAPTURE(text);
    CHECK(t->encode(text) == expected);
    CHECK(t->decode(expected) == text);
  }
  CHECK(n == 46);
  CHECK_FALSE(std::getline(lines, line));
}

TEST_CASE("10,000 random Unicode texts come back") {
  const Tokenizer* t = real_tokenizer();
  if (t == nullptr) return;
  std::mt19937 random(2024);
  int wrong = 0;
  for (int i = 0; i < 10000; ++i) {
    const std::string text = test::random_text(random, 1 + random() % 60);
    const Ids ids = t->encode(text);
    for (const TokenId id : ids) wrong += t->is_control(id) ? 1 : 0;
    wrong += t->decode(ids) == text ? 0 : 1;
  }
  CHECK(wrong == 0);
}

TEST_CASE("invalid UTF-8 comes back, but for bytes without a token") {
  const Tokenizer* t = real_tokenizer();
  if (t == nullptr) return;
  std::mt19937 random(7);
  for (int i = 0; i < 2000; ++i) {
    std::string bytes(1 + random() % 40, '\0'), expected;
    for (char& c : bytes) c = static_cast<char>(random());
    for (const char c : bytes) {
      const auto b = static_cast<uint8_t>(c);
      expected += b == 0xC0 || b == 0xC1 || b >= 0xF5 ? std::string("\uFFFD") : std::string(1, c);
    }
    CHECK(t->decode(t->encode(bytes)) == expected);
  }
}

TEST_CASE("a stream of the real vocabulary shows the text") {
  const Tokenizer* t = real_tokenizer();
  if (t == nullptr) return;
  std::mt19937 random(8);
  const std::string text = test::random_text(random, 3000);
  StreamDetokenizer stream(*t);
  std::string shown;
  for (const TokenId id : t->encode(text)) shown += stream.push(id);
  CHECK(shown + stream.finish() == text);
}

TEST_CASE("a megabyte without a border is encoded in linear time") {
  const Tokenizer* t = real_tokenizer();
  if (t == nullptr) return;
  std::mt19937 random(9);
  std::string word(1 << 20, 'a');
  CHECK(t->decode(t->encode(word)) == word);
  for (char& c : word) c = static_cast<char>('a' + random() % 26);
  const double start = cpu_seconds();
  CHECK(t->decode(t->encode(word)) == word);
  if (kTimed) CHECK(cpu_seconds() - start < 5);
}

TEST_CASE("encoding is at least 3 MB/s on one core") {
  const Tokenizer* t = real_tokenizer();
  if (t == nullptr) return;
  const std::string text = mixed_text(*t, kTimed ? 10'000'000 : 300'000);
  const double start = cpu_seconds();
  const Ids ids = t->encode(text);
  const double seconds = cpu_seconds() - start;
  const double rate = static_cast<double>(text.size()) * 1e-6 / seconds;
  std::printf("encoding: %.1f MB of mixed text, %zu tokens, %.1f MB/s\n",
              static_cast<double>(text.size()) * 1e-6, ids.size(), rate);
  CHECK(t->decode(ids) == text);
  if (kTimed) CHECK(rate >= 3);
}

TEST_CASE("ids of texts by the reference implementation: the real vocabulary") {
  const Tokenizer* t = real_tokenizer();
  if (t != nullptr) check_ids(*t, "tokenizer/deepseek-llm.jsonl");
}

TEST_CASE("ids of texts by the reference implementation: the demo model") {
  const std::filesystem::path path = MINKE_SOURCE_DIR "/models/demo/minke-demo-q8_0.gguf";
  if (!std::filesystem::exists(path)) {
    std::printf("skipped: models/demo/minke-demo-q8_0.gguf is not here\n");
    return;
  }
  const auto file = GgufFile::open(path);
  REQUIRE(file.has_value());
  const auto tokenizer = Tokenizer::from_gguf(*file);
  REQUIRE_MESSAGE(tokenizer.has_value(), (tokenizer ? "" : tokenizer.error().message));
  check_ids(*tokenizer, "tokenizer/demo.jsonl");
}
