#include "models/tokenizer.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/gguf_builder.h"
#include "tests/models/random_text.h"
#include "tests/models/small_vocabulary.h"

using namespace minke;
using test::GgufBuilder;
using test::peak_growth;
using test::SmallVocabulary;
using test::TempDir;
using test::write_file;
using Ids = std::vector<TokenId>;

namespace {

/// 256 "he", 257 "ll", 258 "hell", 259 "hello", 260 " w", 261 "or", 262 " wor"; 263 BOS, 264 EOS,
/// 265 User marker, 266 "ü" (user-defined), 267 "[PAD267]".
SmallVocabulary hello() {
  SmallVocabulary v;
  v.merges = {"h e", "l l", "he ll", "hell o", "Ġ w", "o r", "Ġw or"};
  v.added = {{"<｜begin▁of▁sentence｜>", 3},
             {"<｜end▁of▁sentence｜>", 3},
             {"<｜User｜>", 4},
             {"ab", 4},
             {"[PAD267]", 4}};
  v.ids = {{"tokenizer.ggml.bos_token_id", 263}, {"tokenizer.ggml.eos_token_id", 264}};
  return v;
}

/// The definition of BPE, word for word.
Ids naive_bpe(const std::map<std::pair<TokenId, TokenId>, std::pair<size_t, TokenId>>& merges,
              std::string_view word) {
  Ids ids;
  for (const char c : word) ids.push_back(static_cast<uint8_t>(c));
  for (;;) {
    size_t best = SIZE_MAX, at = 0;
    TokenId merged = -1;
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      const auto found = merges.find({ids[i], ids[i + 1]});
      if (found != merges.end() && found->second.first < best) {
        best = found->second.first;
        at = i;
        merged = found->second.second;
      }
    }
    if (merged < 0) return ids;
    ids[at] = merged;
    ids.erase(ids.begin() + static_cast<ptrdiff_t>(at) + 1);
  }
}

}  // namespace

TEST_CASE("merges go by rank") {
  const Tokenizer t = hello().open();
  CHECK(t.vocab_size() == 268);
  CHECK(t.encode("").empty());
  CHECK(t.encode("hello") == Ids{259});
  CHECK(t.encode("hell") == Ids{258});
  CHECK(t.encode("hel") == Ids{256, 'l'});
  CHECK(t.encode("hello world") == Ids{259, 262, 'l', 'd'});
  CHECK(t.encode("hello\nhello") == Ids{259, '\n', 259});
  CHECK(t.decode(t.encode("hello world")) == "hello world");
}

TEST_CASE("control tokens come from encode_with_special alone") {
  const Tokenizer t = hello().open();
  const std::string bos = "<｜begin▁of▁sentence｜>", user = "<｜User｜>";
  CHECK(t.bos() == 263);
  CHECK(t.eos() == 264);
  CHECK(t.add_bos());
  CHECK(t.is_control(263));
  CHECK(t.is_control(265));  // whatever type an older file gives it
  CHECK_FALSE(t.is_control(266));
  CHECK_FALSE(t.is_control(-1));
  CHECK_FALSE(t.is_control(268));
  CHECK(t.encode_with_special(bos + "hello" + user) == Ids{263, 259, 265});
  for (const TokenId id : t.encode(bos + "hello" + user)) CHECK(id < 263);
  CHECK(t.decode(t.encode(bos + user)) == bos + user);
  CHECK(t.decode({263, 259}) == bos + "hello");
  CHECK(t.find("hello") == 259);
  CHECK(t.find("nothing") == -1);
}

TEST_CASE("user-defined tokens are matched in plain text, padding rows never") {
  const Tokenizer t = hello().open();
  CHECK(t.encode("xaby") == Ids{'x', 266, 'y'});
  CHECK(t.encode("abab") == Ids{266, 266});
  CHECK(t.encode("[PAD267]").size() == 8);
  CHECK(t.encode_with_special("[PAD267]").size() == 8);
}

TEST_CASE("the longest of the tokens that begin at a place is taken") {
  SmallVocabulary v;
  v.added = {{"abc", 4}, {"ab", 4}, {"bcd", 4}, {"abcde", 4}};
  const Tokenizer t = v.open();
  CHECK(t.encode("abcd") == Ids{256, 'd'});
  CHECK(t.encode("abd") == Ids{257, 'd'});
  CHECK(t.encode("xbcd") == Ids{'x', 258});
  CHECK(t.encode("abcde") == Ids{259});
  CHECK(t.encode("a") == Ids{'a'});
}

TEST_CASE("every byte string comes back") {
  const Tokenizer t = hello().open();
  std::mt19937 random(3);
  for (int i = 0; i < 2000; ++i) {
    std::string bytes(random() % 50, '\0');
    for (char& c : bytes) c = static_cast<char>(random() % 3 == 0 ? 'h' + random() % 5 : random());
    CHECK(t.decode(t.encode(bytes)) == bytes);
  }
}

TEST_CASE("short and long words merge as the definition says") {
  std::mt19937 random(17);
  for (int round = 0; round < 20; ++round) {
    SmallVocabulary v;
    std::map<std::pair<TokenId, TokenId>, std::pair<size_t, TokenId>> merges;
    std::vector<std::pair<std::string, TokenId>> tokens{{"a", 'a'}, {"b", 'b'}, {"c", 'c'}};
    for (int tries = 0; tries < 200 && v.merges.size() < 60; ++tries) {
      const auto left = tokens[random() % tokens.size()], right = tokens[random() % tokens.size()];
      const std::string joined = left.first + right.first;
      if (joined.size() > 12 || std::any_of(tokens.begin(), tokens.end(),
                                            [&](const auto& t) { return t.first == joined; })) {
        continue;
      }
      const auto id = static_cast<TokenId>(256 + v.merges.size());
      merges[{left.second, right.second}] = {v.merges.size(), id};
      v.merges.push_back(left.first + " " + right.first);
      tokens.emplace_back(joined, id);
    }
    const Tokenizer t = v.open();
    for (size_t length : {1u, 2u, 3u, 31u, 32u, 33u, 34u, 64u, 65u, 200u}) {
      std::string word;
      while (word.size() < length) word += static_cast<char>('a' + random() % 3);
      CHECK(t.encode(word) == naive_bpe(merges, word));
      CHECK(t.encode(word + "\n" + word).size() == 2 * t.encode(word).size() + 1);
    }
  }
}

TEST_CASE("a word of a megabyte is encoded") {
  SmallVocabulary v;
  v.merges = {"a a", "aa aa", "aaaa aaaa", "a b"};
  const Tokenizer t = v.open();
  std::mt19937 random(5);
  std::string word(1 << 20, 'a');
  CHECK(t.encode(word).size() == word.size() / 8);
  for (char& c : word) c = random() % 4 == 0 ? 'b' : 'a';
  CHECK(t.decode(t.encode(word)) == word);
}

TEST_CASE("threads share a tokenizer") {
  const Tokenizer t = hello().open();
  std::vector<std::thread> threads;
  std::vector<Ids> results(4);
  std::mt19937 random(23);
  const std::string text = test::random_text(random, 5000);
  for (Ids& result : results) threads.emplace_back([&] { result = t.encode(text); });
  for (std::thread& thread : threads) thread.join();
  for (const Ids& result : results) CHECK(result == results[0]);
}

TEST_CASE("a stream never shows half a character") {
  const Tokenizer t = SmallVocabulary{}.open();
  const auto stream = [&](std::string_view bytes) {
    StreamDetokenizer s(t);
    std::vector<std::string> out;
    for (const char c : bytes) out.push_back(s.push(static_cast<uint8_t>(c)));
    out.push_back(s.finish());
    return out;
  };
  using Out = std::vector<std::string>;
  CHECK(stream("aü") == Out{"a", "", "ü", ""});
  CHECK(stream("€🚀") == Out{"", "", "€", "", "", "", "🚀", ""});
  CHECK(stream("\xFF") == Out{"\uFFFD", ""});
  CHECK(stream("\xE4\xBD") == Out{"", "", "\uFFFD"});
  CHECK(stream("\xE4x") == Out{"", "\uFFFDx", ""});
  CHECK(stream("\xF0\x9F\xC3\xBC") == Out{"", "", "\uFFFD", "ü", ""});
  CHECK(stream("\xED\xA0\x80") == Out{"", "\uFFFD\uFFFD", "\uFFFD", ""});  // a surrogate
  CHECK(stream("") == Out{""});
  StreamDetokenizer reused(t);
  reused.push(0xE4);
  reused.finish();
  CHECK(reused.push('a') == "a");
}

TEST_CASE("bad vocabularies are told by key and place") {
  const auto message = [](const SmallVocabulary& v) {
    const Error error = v.open_error();
    CHECK(error.code == Errc::kContent);
    CHECK(error.message.find("vocab.gguf: key 'tokenizer.ggml.") != std::string::npos);
    return error.message;
  };
  const auto has = [](const std::string& text, const char* part) {
    const bool found = text.find(part) != std::string::npos;
    CHECK_MESSAGE(found, text, " should say: ", part);
  };
  SmallVocabulary v;
  v.merges = {"he"};
  has(message(v), "merges': entry 0 ('he') is not two tokens");
  v.merges = {"h e l"};
  has(message(v), "is not two tokens");
  v.merges = {"h e", "hex e"};
  has(message(v), "entry 1 ('hex e') names a token that is not in the vocabulary");
  v.merges = {"h e", "h e"};
  has(message(v), "tokens 256 and 257 are the same ('he')");
  v = hello();
  v.merges.push_back("ab h");
  v.added[3].first = "ab";
  has(message(v), "has a token that is not normal");
  v = hello();
  v.added[0].second = 7;
  has(message(v), "token_type': entry 263 is 7 (allowed 1 to 6)");
  v = hello();
  v.ids = {{"tokenizer.ggml.bos_token_id", 268}};
  has(message(v), "bos_token_id': token 268 of a vocabulary of 268");
  v = hello();
  v.added.push_back({"", 4});
  has(message(v), "token 268 is 0 bytes long");
  v = hello();
  v.added.push_back({std::string(70000, 'x'), 4});
  has(message(v), "token 268 is 70000 bytes long (allowed 1 to 16384)");
}

TEST_CASE("more tokens or merges than any model has are refused before memory is taken for them") {
  const TempDir dir;
  const auto refused = [&](const char* key, GgufBuilder& builder) {
    constexpr uint64_t kMany = 6'000'000;
    const std::string empty(kMany * sizeof(uint64_t), '\0');
    const std::string bytes = builder.array(key, 8, kMany, empty).build();
    write_file(dir / "many.gguf", bytes);
    std::string message;
    const size_t growth = peak_growth([&] {
      const auto file = GgufFile::open(dir / "many.gguf");
      REQUIRE(file);
      const auto tokenizer = Tokenizer::from_gguf(*file);
      if (!tokenizer) message = tokenizer.error().message;
    });
    CHECK_MESSAGE(message.find("wrong number of elements (got 6000000, allowed ") != message.npos,
                  message);
    CHECK(growth < (size_t{64} << 20) + 2 * bytes.size());
  };
  GgufBuilder with_tokens, with_merges;
  for (GgufBuilder* builder : {&with_tokens, &with_merges}) {
    builder->string("tokenizer.ggml.model", "gpt2").string("tokenizer.ggml.pre", "deepseek-llm");
  }
  with_merges.strings("tokenizer.ggml.tokens", SmallVocabulary().tokens());
  refused("tokenizer.ggml.tokens", with_tokens);
  refused("tokenizer.ggml.merges", with_merges);
}

TEST_CASE("long special tokens take no more memory than their texts") {
  SmallVocabulary v;
  for (int i = 0; i < 1000; ++i)
    v.added.push_back({std::to_string(i) + std::string(16000, 'x'), 4});
  const TempDir dir;
  v.write(dir / "long.gguf");
  std::vector<TokenId> ids;
  const size_t growth = peak_growth([&] {
    const auto file = GgufFile::open(dir / "long.gguf");
    REQUIRE(file);
    const auto tokenizer = Tokenizer::from_gguf(*file);
    REQUIRE(tokenizer);
    ids = tokenizer->encode("a" + v.added[321].first + "b");
  });
  CHECK(ids == std::vector<TokenId>{'a', 256 + 321, 'b'});
  CHECK(growth < (size_t{64} << 20) + 4 * std::filesystem::file_size(dir / "long.gguf"));
}

TEST_CASE("tokenizers of other kinds are not supported") {
  SmallVocabulary v;
  v.model = "llama";
  CHECK(v.open_error().code == Errc::kUnsupported);
  v = SmallVocabulary{};
  v.pre = "qwen2";
  const Error error = v.open_error();
  CHECK(error.code == Errc::kUnsupported);
  CHECK(error.message.find("known: 'deepseek-llm', 'deepseek-v3'") != std::string::npos);
}

TEST_CASE("without BOS in the vocabulary none is added") {
  const Tokenizer t = SmallVocabulary{}.open();
  CHECK(t.bos() == -1);
  CHECK(t.eos() == -1);
  CHECK_FALSE(t.add_bos());
}
