#include "apps/session_file.h"

#include <doctest/doctest.h>
#include <xxhash.h>

#include <nlohmann/json.hpp>

#include "tests/apps/app_model.h"
#include "tests/support.h"

using namespace minke;
using namespace minke::apps;

namespace {

SavedSession example() {
  SavedSession s;
  s.model = {
      .name = "m", .file_bytes = 123, .n_vocab = 10, .fingerprint = "f", .chat_template = "a"};
  s.conversation.system = "Be kind.";
  s.conversation.turns = {{"你好 \"quoted\"\n", "hello\tthere 🙂", {1, 2, 9}}, {"more", "", {}}};
  s.parameters = {{"temp", "0.3"}, {"seed", "-1"}};
  return s;
}

Error load_error(const std::filesystem::path& path, const ModelIdentity& model) {
  const auto loaded = load_session(path, model);
  REQUIRE(!loaded.has_value());
  CHECK(loaded.error().message.find(path.filename().string()) != std::string::npos);
  CHECK(loaded.error().message.find('\n') == std::string::npos);
  return loaded.error();
}

}  // namespace

TEST_CASE("sessions: what is saved comes back") {
  const test::TempDir dir;
  const SavedSession saved = example();
  REQUIRE(save_session(dir / "s.json", saved));
  const auto loaded = load_session(dir / "s.json", saved.model);
  REQUIRE_MESSAGE(loaded.has_value(), (loaded ? "" : loaded.error().message));
  CHECK(loaded->model == saved.model);
  CHECK(loaded->parameters == saved.parameters);
  CHECK(loaded->conversation.system == saved.conversation.system);
  REQUIRE(loaded->conversation.turns.size() == 2);
  for (size_t i = 0; i < 2; ++i) {
    CHECK(loaded->conversation.turns[i].user == saved.conversation.turns[i].user);
    CHECK(loaded->conversation.turns[i].answer == saved.conversation.turns[i].answer);
    CHECK(loaded->conversation.turns[i].answer_tokens == saved.conversation.turns[i].answer_tokens);
  }
}

TEST_CASE("sessions: another model's are refused, by each part of its identity") {
  const test::TempDir dir;
  REQUIRE(save_session(dir / "s.json", example()));
  ModelIdentity other = example().model;
  SUBCASE("name") { other.name = "another"; }
  SUBCASE("size") { ++other.file_bytes; }
  SUBCASE("fingerprint") { other.fingerprint = "g"; }
  SUBCASE("vocabulary") { ++other.n_vocab; }
  SUBCASE("template") { other.chat_template = "deepseek2.5"; }
  const Error error = load_error(dir / "s.json", other);
  CHECK(error.code == Errc::kContent);
  CHECK(error.message.find("another model") != std::string::npos);
}

TEST_CASE("sessions: every changed byte that matters and every cut is found") {
  const test::TempDir dir;
  REQUIRE(save_session(dir / "s.json", example()));
  const std::string good = test::read_file(dir / "s.json");
  for (size_t i = 0; i < good.size(); ++i) {
    if (good[i] == ' ' || good[i] == '\n') continue;  // layout, not content
    std::string bad(good);
    bad.at(i) = good.at(i) == 'x' ? 'y' : 'x';
    test::write_file(dir / "bad.json", bad);
    INFO(i);
    CHECK(load_error(dir / "bad.json", example().model).code == Errc::kContent);
  }
  for (size_t n = 0; n + 2 < good.size(); n += 7) {
    test::write_file(dir / "bad.json", good.substr(0, n));
    CHECK(load_error(dir / "bad.json", example().model).code == Errc::kContent);
  }
}

TEST_CASE("sessions: files that are none") {
  const test::TempDir dir;
  CHECK(load_error(dir / "none.json", {}).code == Errc::kMissing);
  CHECK(load_error(dir.path(), {}).code == Errc::kIo);
  for (const char* text : {"", "[]", "{}", "hello", "{\"minke_session\":1,\"checksum\":2}",
                           "{\"minke_session\":{},\"checksum\":\"\"}"}) {
    test::write_file(dir / "bad.json", text);
    INFO(text);
    CHECK(load_error(dir / "bad.json", {}).code == Errc::kContent);
  }
  test::write_file(dir / "bad.json", std::string(100000, '['));
  CHECK(load_error(dir / "bad.json", {}).code == Errc::kContent);
}

TEST_CASE("sessions: a token beyond the vocabulary is refused though the checksum is right") {
  const test::TempDir dir;
  SavedSession wrong = example();
  wrong.conversation.turns[0].answer_tokens = {10};
  REQUIRE(save_session(dir / "s.json", wrong));
  CHECK(load_error(dir / "s.json", wrong.model).message.find("token 10") != std::string::npos);
}

TEST_CASE("sessions: what cannot be written leaves nothing") {
  const test::TempDir dir;
  CHECK(!save_session(dir / "no-such-folder/s.json", example()).has_value());
  CHECK(std::filesystem::is_empty(dir.path()));
}

TEST_CASE("sessions: values of a wrong type or range are refused though the checksum is right") {
  const test::TempDir dir;
  REQUIRE(save_session(dir / "s.json", example()));
  const auto good = nlohmann::json::parse(test::read_file(dir / "s.json"));
  const auto check = [&](const char* place, const char* value, std::string_view named) {
    nlohmann::json changed = good["minke_session"];
    changed[nlohmann::json::json_pointer(place)] = nlohmann::json::parse(value);
    const std::string text = changed.dump();
    const nlohmann::json file = {
        {"minke_session", changed},
        {"checksum", fmt::format("{:016x}", XXH3_64bits(text.data(), text.size()))}};
    test::write_file(dir / "bad.json", file.dump());
    const Error error = load_error(dir / "bad.json", example().model);
    INFO(place, " = ", value, ": ", error.message);
    CHECK(error.code == Errc::kContent);
    CHECK(error.message.find(named) != std::string::npos);
  };
  for (const char* token : {"-1", "10", "1.5", "true", "\"1\"", "null", "4294967297",
                            "18446744073709551615", "18446744073709551617"})
    check("/turns/0/tokens/1", token, "turns[0].tokens");
  check("/turns/0/tokens", "{\"0\": 1}", "turns[0].tokens");
  check("/turns/1/user", "7", "turns[1].user");
  check("/turns/1", "[]", "turns[1]");
  check("/turns", "{}", "turns");
  check("/system", "null", "system");
  check("/parameters/temp", "0.3", "parameters.temp");
  check("/parameters", "[]", "parameters");
  check("/model/file_bytes", "-123", "model.file_bytes");
  check("/model/file_bytes", "123.5", "model.file_bytes");
  check("/model/n_vocab", "1e3", "model.n_vocab");
  check("/version", "1", "version 1");
}

TEST_CASE("sessions: a model is known by its metadata and its weights") {
  const test::TempDir dir;
  const Model& model = test::tiny_model();
  const auto chat_template = ChatTemplate::from_gguf(model.file());
  REQUIRE(chat_template);
  const ModelIdentity identity = identity_of(model, *chat_template);
  CHECK(identity == identity_of(model, *chat_template));
  const std::string bytes = test::read_file(test::tiny_model_file());
  const auto changed = [&](size_t at) {
    std::string other = bytes;
    other[at] = static_cast<char>(other[at] ^ 1);
    test::write_file(dir / "other.gguf", other);
    const auto opened = Model::open(dir / "other.gguf");
    REQUIRE_MESSAGE(opened, (opened ? "" : opened.error().message));
    return identity_of(**opened, *chat_template);
  };
  const auto* base =
      reinterpret_cast<const char*>(model.file().find_tensor("output_norm.weight")->data.data());
  const size_t norm = bytes.find(std::string_view(base, 64));
  REQUIRE(norm != std::string::npos);
  CHECK(changed(norm).fingerprint != identity.fingerprint);
  const size_t theta = bytes.find("deepseek2.rope.freq_base");
  REQUIRE(theta != std::string::npos);
  CHECK(changed(theta + 24 + 4).fingerprint != identity.fingerprint);
}
