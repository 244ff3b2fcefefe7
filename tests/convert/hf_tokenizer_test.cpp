#include "convert/hf_tokenizer.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>

#include "convert/json.h"
#include "convert/pretokenizer.h"
#include "tests/convert/checkpoint_builder.h"
#include "tests/support.h"

using namespace minke;
using namespace minke::convert;
using minke::test::TinyModel;
using nlohmann::json;

namespace {

Result<HfTokenizer> read(const TinyModel& model) {
  const test::TempDir dir;
  model.write_texts(dir.path());
  MINKE_ASSIGN(const HfConfig config, read_hf_config(dir.path()));
  return read_hf_tokenizer(dir.path(), config);
}

/// The pre-tokenizer of a fixture, which PyPI's tokenizers wrote.
json deepseek_llm_steps() {
  const std::string text = test::read_file(test::data_path("tiny-lite/tokenizer.json"));
  return parse_json(text, "x")->at("pre_tokenizer");
}

struct Case {
  const char* what;
  Errc code;
  const char* reason;  ///< Stands in the message.
  std::function<void(json& tokenizer)> breaks;
};

std::vector<Case> bad_tokenizers() {
  const auto bad = Errc::kContent;
  const auto other = Errc::kUnsupported;
  const auto merge = [](json value) {
    return [value](json& t) { t["model"]["merges"].push_back(value); };
  };
  const auto vocab = [](const char* text, json id) {
    return [text, id](json& t) { t["model"]["vocab"][text] = id; };
  };
  return {
      {"merge without a space", bad, "merge 2", merge("the")},
      {"merge of three", bad, "merge 2", merge("t h e")},
      {"merge with an empty side", bad, "merge 2", merge(" h")},
      {"merge is a number", bad, "merge 2", merge(7)},
      {"merge pair of three", bad, "merge 2", merge({"t", "h", "e"})},
      {"merge of an unknown token", bad, "merge 2: 'zz'", merge("zz a")},
      {"merge to an unknown token", bad, "merge 2: 'ab'", merge("a b")},
      {"merge of an added token", bad, "merge 2: 'plain' is not a normal token", merge("plain t")},
      {"merges missing", bad, "merges", [](json& t) { t["model"].erase("merges"); }},
      {"merges an object", bad, "merges", [](json& t) { t["model"]["merges"] = json::object(); }},
      {"duplicate id", bad, "id 0 belongs to", vocab("zzz", 0)},
      {"gap", bad, "no token has the id 32", vocab("zzz", 33)},
      {"id beyond the vocabulary", bad, "got 5000", vocab("zzz", TinyModel::kVocab)},
      {"id negative", bad, "got -1", vocab("zzz", -1)},
      {"id 2^64", bad, "id got", vocab("zzz", 18446744073709551616.0)},
      {"id a text", bad, "id got", vocab("zzz", "32")},
      {"empty token", bad, "0 bytes", vocab("", 32)},
      {"token with NUL", bad, "no NUL",
       [](json& t) { t["model"]["vocab"][std::string("a\0b", 3)] = 32; }},
      {"long token", bad, "100000 bytes",
       [](json& t) { t["model"]["vocab"][std::string(100'000, 'x')] = 32; }},
      {"vocab a list", bad, "vocab", [](json& t) { t["model"]["vocab"] = json::array(); }},
      {"vocab missing", bad, "vocab", [](json& t) { t["model"].erase("vocab"); }},
      {"added token with another's id", bad, "belongs to",
       [](json& t) { t["added_tokens"][0]["id"] = 3; }},
      {"added token with two ids", bad, "has the ids",
       [](json& t) { t["added_tokens"][3]["content"] = "a"; }},
      {"added token without an id", bad, "id", [](json& t) { t["added_tokens"][0].erase("id"); }},
      {"added_tokens an object", bad, "added_tokens",
       [](json& t) { t["added_tokens"] = json::object(); }},
      {"model missing", bad, "model", [](json& t) { t.erase("model"); }},
      {"Unigram", other, "Unigram", [](json& t) { t["model"]["type"] = "Unigram"; }},
      {"byte_fallback", other, "byte_fallback",
       [](json& t) { t["model"]["byte_fallback"] = true; }},
      {"a normalizer", other, "normalizer",
       [](json& t) {
         t["normalizer"] = {{"type", "NFC"}};
       }},
      {"another pre-tokenizer", other, "pre_tokenizer",
       [](json& t) {
         t["pre_tokenizer"] = {{"type", "ByteLevel"}};
       }},
      {"bos_token unknown", bad, "bos_token",
       [](json& t) { t["added_tokens"][0]["content"] = "<other>"; }},
  };
}

}  // namespace

TEST_CASE("the vocabulary arrives with types, merges, padding and special ids") {
  const auto tokenizer = read(TinyModel());
  REQUIRE(tokenizer);
  CHECK(tokenizer->pre == "deepseek-v3");
  REQUIRE(tokenizer->tokens.size() == TinyModel::kVocab);
  CHECK(tokenizer->tokens[27] == "the");
  CHECK(tokenizer->types[27] == 1);
  CHECK(tokenizer->types[28] == 3);
  CHECK(tokenizer->types[30] == 3);  // <｜User｜>: steers the model, whatever the file says
  CHECK(tokenizer->types[31] == 4);
  CHECK(tokenizer->tokens[32] == "[PAD32]");
  CHECK(tokenizer->types[32] == 5);
  CHECK(tokenizer->merges == std::vector<std::string>{"t h", "th e"});
  CHECK(tokenizer->bos_id == 28);
  CHECK(tokenizer->eos_id == 29);
  CHECK_FALSE(tokenizer->pad_id);
  CHECK(tokenizer->add_bos);
  CHECK_FALSE(tokenizer->add_eos);
  CHECK(tokenizer->chat_template == "{{ bos_token }}");
}

TEST_CASE("merges may be pairs, and templates may be named or in their own file") {
  TinyModel model;
  model.tokenizer["model"]["merges"] = json::parse(R"([["t", "h"], ["th", "e"]])");
  model.tokenizer_config["chat_template"] = {{{"name", "tool_use"}, {"template", "T"}},
                                             {{"name", "default"}, {"template", "D"}}};
  const test::TempDir dir;
  model.write_texts(dir.path());
  const auto config = read_hf_config(dir.path());
  REQUIRE(config);
  auto tokenizer = read_hf_tokenizer(dir.path(), *config);
  REQUIRE(tokenizer);
  CHECK(tokenizer->merges == std::vector<std::string>{"t h", "th e"});
  CHECK(tokenizer->chat_template == "D");
  test::write_file(dir / "chat_template.jinja", "own");
  tokenizer = read_hf_tokenizer(dir.path(), *config);
  REQUIRE(tokenizer);
  CHECK(tokenizer->chat_template == "own");
}

TEST_CASE("a tokenizer that contradicts itself is refused") {
  for (const Case& c : bad_tokenizers()) {
    CAPTURE(c.what);
    TinyModel model;
    c.breaks(model.tokenizer);
    const auto tokenizer = read(model);
    REQUIRE_FALSE(tokenizer);
    CAPTURE(tokenizer.error().message);
    CHECK(tokenizer.error().code == c.code);
    CHECK(tokenizer.error().message.find(c.reason) != std::string::npos);
    CHECK(tokenizer.error().message.find("tokenizer") != std::string::npos);
    CHECK(tokenizer.error().message.size() < 500);
  }
}

TEST_CASE("a token id of config.json beyond the vocabulary is refused") {
  TinyModel model;
  model.config["pad_token_id"] = TinyModel::kVocab;
  CHECK(read(model).error().code == Errc::kContent);
  model.config["pad_token_id"] = 31;
  CHECK(read(model)->pad_id == 31);
}

TEST_CASE("deepseek-llm's splits are recognised, also after Unicode normalisation") {
  json steps = deepseek_llm_steps();
  REQUIRE(recognise_pretokenizer(steps, "x"));
  CHECK(*recognise_pretokenizer(steps, "x") == "deepseek-llm");
  // What NFC does to the ends of three ranges: U+1F7D, U+1FD3 and U+1FDB have canonical twins.
  std::string letters = steps["pretokenizers"][1]["pattern"]["Regex"];
  for (const auto& [from, to] : {std::pair("\u1F7D", "\u03CE"), std::pair("\u1FD3", "\u0390"),
                                 std::pair("\u1FDB", "\u038A")}) {
    letters.replace(letters.find(from), std::strlen(from), to);
  }
  steps["pretokenizers"][1]["pattern"]["Regex"] = letters;
  CHECK(*recognise_pretokenizer(steps, "x") == "deepseek-llm");
}

TEST_CASE("splits that differ in one step are not taken for the ones they resemble") {
  const json right = deepseek_llm_steps();
  const size_t n = right["pretokenizers"].size();
  for (size_t i = 0; i < n; ++i) {
    CAPTURE(i);
    json steps = right;
    steps["pretokenizers"].erase(i);
    const auto pre = recognise_pretokenizer(steps, "F");
    REQUIRE_FALSE(pre);
    CHECK(pre.error().code == Errc::kUnsupported);
    CHECK(pre.error().message.starts_with("F: 'pre_tokenizer'"));
  }
  json steps = right;
  steps["pretokenizers"][0]["behavior"] = "Removed";
  CHECK_FALSE(recognise_pretokenizer(steps, "x"));
  steps = right;
  steps["pretokenizers"][n - 1]["add_prefix_space"] = true;
  CHECK_FALSE(recognise_pretokenizer(steps, "x"));
  for (const char* text : {"null", "1", "[]", "{}", R"({"type":"Sequence"})",
                           R"({"type":"Sequence","pretokenizers":[1,null,"x",[]]})"}) {
    CAPTURE(text);
    CHECK_FALSE(recognise_pretokenizer(json::parse(text), "x"));
  }
}
