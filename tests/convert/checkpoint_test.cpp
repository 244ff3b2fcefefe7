#include "convert/checkpoint.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <functional>

#include "convert/convert.h"
#include "tests/convert/checkpoint_builder.h"
#include "tests/support.h"

using namespace minke;
using namespace minke::convert;
using minke::test::TinyModel;
namespace fs = std::filesystem;

namespace {

constexpr const char* kFirst = "model-00001-of-00002.safetensors";
constexpr const char* kSecond = "model-00002-of-00002.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

struct Case {
  const char* what;
  Errc code;
  const char* reason;  ///< Stands in the message.
  std::function<void(const fs::path& dir, nlohmann::json& index)> breaks;
};

std::vector<Case> bad_checkpoints() {
  const auto bad = Errc::kContent;
  const auto index_text = [](const char* text) {
    return [text](const fs::path& dir, nlohmann::json& index) {
      index = nullptr;
      test::write_file(dir / kIndex, text);
    };
  };
  const auto shard_named = [](const char* name) {
    return [name](const fs::path&, nlohmann::json& index) {
      index["weight_map"]["model.norm.weight"] = name;
    };
  };
  return {
      {"no index beside several shards", Errc::kMissing, "2 .safetensors files",
       [](const fs::path& dir, nlohmann::json& index) {
         index = nullptr;
         fs::remove(dir / kIndex);
       }},
      {"index is not JSON", bad, "offset 0x", index_text("{")},
      {"index is a list", bad, "not an object", index_text("[]")},
      {"no weight_map", bad, "weight_map", index_text("{}")},
      {"weight_map is a list", bad, "weight_map", index_text(R"({"weight_map": []})")},
      {"weight_map is empty", bad, "weight_map", index_text(R"({"weight_map": {}})")},
      {"a file name is a number", bad, "not a file name",
       index_text(R"({"weight_map": {"a": 1}})")},
      {"a tensor listed twice", bad, "twice",
       index_text(R"({"weight_map": {"a": "x.safetensors", "a": "y.safetensors"}})")},
      {"index 100,000 deep", bad, "deeper",
       [](const fs::path& dir, nlohmann::json& index) {
         index = nullptr;
         test::write_file(dir / kIndex, "{\"a\":" + std::string(100'000, '['));
       }},
      {"shard missing", Errc::kMissing, kSecond,
       [](const fs::path& dir, nlohmann::json&) { fs::remove(dir / kSecond); }},
      {"tensor in two shards", bad, "stands in",
       [](const fs::path& dir, nlohmann::json& index) {
         fs::copy_file(dir / kFirst, dir / "third.safetensors");
         index["weight_map"]["x"] = "third.safetensors";
       }},
      {"listed but absent", bad, "listed in model-00001",
       [](const fs::path&, nlohmann::json& index) { index["weight_map"]["x"] = kFirst; }},
      {"listed in the wrong shard", bad, "listed in model-00001", shard_named(kFirst)},
      {"present but unlisted", bad, "not listed",
       [](const fs::path&, nlohmann::json& index) {
         index["weight_map"].erase("model.norm.weight");
       }},
      {"shard path goes up", bad, "plain file name", shard_named("../model.safetensors")},
      {"shard path absolute", bad, "plain file name", shard_named("/etc/passwd")},
      {"shard path is ..", bad, "plain file name", shard_named("..")},
      {"shard path in a folder", bad, "plain file name", shard_named("a/b.safetensors")},
      {"shard is a link out", bad, "link that leads out",
       [](const fs::path& dir, nlohmann::json&) {
         fs::create_directory(dir / "other");
         fs::rename(dir / kSecond, dir / "other" / kSecond);
         fs::create_symlink(dir / "other" / kSecond, dir / kSecond);
       }},
      {"total_size differs", bad, "total_size",
       [](const fs::path&, nlohmann::json& index) { index["metadata"]["total_size"] = 12; }},
      {"total_size is a text", bad, "total_size",
       [](const fs::path&, nlohmann::json& index) { index["metadata"]["total_size"] = "12"; }},
  };
}

}  // namespace

TEST_CASE("a checkpoint is one file or an index and its shards") {
  const test::TempDir dir;
  const TinyModel model;
  model.write(dir / "one");
  model.write_sharded(dir / "two");
  const auto one = Checkpoint::open(dir / "one");
  const auto two = Checkpoint::open(dir / "two");
  REQUIRE(one);
  REQUIRE(two);
  CHECK(one->files().size() == 1);
  CHECK(two->files().size() == 2);
  CHECK(one->tensors().size() == model.tensors.size());
  CHECK(two->tensors().size() == model.tensors.size());
  CHECK(one->tensor_bytes() == two->tensor_bytes());
  REQUIRE(two->find("lm_head.weight") != nullptr);
  CHECK(two->find("lm_head.weight")->file->path().filename() == kSecond);
  CHECK(two->find("lm_head") == nullptr);
}

TEST_CASE("a checkpoint whose files do not agree is refused") {
  for (const Case& c : bad_checkpoints()) {
    CAPTURE(c.what);
    const test::TempDir dir;
    nlohmann::json index = TinyModel().write_sharded(dir / "m");
    c.breaks(dir / "m", index);
    if (!index.is_null()) TinyModel::write_index(dir / "m", index);
    const auto checkpoint = Checkpoint::open(dir / "m");
    REQUIRE_FALSE(checkpoint);
    CAPTURE(checkpoint.error().message);
    CHECK(checkpoint.error().code == c.code);
    CHECK(checkpoint.error().message.find(c.reason) != std::string::npos);
    CHECK(checkpoint.error().message.starts_with(dir.path().string()));
  }
}

TEST_CASE("the hub cache's links to blobs are followed") {
  const test::TempDir dir;
  const fs::path snapshot = dir / "models--x--y/snapshots/abc";
  const fs::path blobs = dir / "models--x--y/blobs";
  TinyModel().write(snapshot);
  fs::create_directories(blobs);
  fs::rename(snapshot / "model.safetensors", blobs / "0123");
  fs::create_symlink("../../blobs/0123", snapshot / "model.safetensors");
  CHECK(Checkpoint::open(snapshot));
}

TEST_CASE("a pipe in the place of any file is refused, and not waited for") {
  const auto& recipe = *find_recipe("F32");
  for (const char* name : {kFirst, kIndex, "config.json", "generation_config.json",
                           "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}) {
    CAPTURE(name);
    const test::TempDir dir;
    TinyModel().write_sharded(dir / "m");
    fs::remove(dir / "m" / name);
    REQUIRE(mkfifo((dir / "m" / name).c_str(), 0600) == 0);
    const auto conversion = Conversion::prepare(dir / "m", recipe);
    REQUIRE_FALSE(conversion);
    CHECK(conversion.error().code == Errc::kIo);
    CHECK(conversion.error().message == (dir / "m" / name).string() + ": is a pipe, not a file");
  }
}

TEST_CASE("what is no checkpoint's directory is refused") {
  const test::TempDir dir;
  CHECK(Checkpoint::open(dir / "none").error().code == Errc::kMissing);
  CHECK(Checkpoint::open(dir.path()).error().code == Errc::kMissing);
  test::write_file(dir / "file", "x");
  CHECK(Checkpoint::open(dir / "file").error().code == Errc::kUsage);
}
