// What strangers' checkpoints can have wrong, one small checkpoint each: `minke convert` says so in
// one line with the right exit code, and leaves nothing behind. A shard that changes while it is
// read is in tests/convert/convert_failure_test.cpp.
#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "tests/apps/run_minke.h"
#include "tests/convert/checkpoint_builder.h"
#include "tests/support.h"

using namespace minke;
using namespace minke::test;
namespace fs = std::filesystem;

namespace {

constexpr int kContent = 65, kMissing = 66;
constexpr const char* kSecond = "model-00002-of-00002.safetensors";

struct Case {
  const char* what;
  int exit_code;
  std::string part;  ///< Stands in the message.
  std::function<void(const fs::path& dir)> make;
};

/// A checkpoint whose only file of weights has these bytes.
Case raw(const char* what, std::string file, std::string part) {
  return {what, kContent, std::move(part), [file = std::move(file)](const fs::path& dir) {
            TinyModel().write_texts(dir);
            write_file(dir / "model.safetensors", file);
          }};
}

/// The same with one tensor's entry, and some bytes of data.
Case entry(const char* what, const std::string& fields, std::string part, size_t n_bytes = 8) {
  return raw(what, safetensors_file("{\"a\":{" + fields + "}}", std::string(n_bytes, '\1')),
             std::move(part));
}

Case changed(const char* what, int exit_code, std::string part,
             const std::function<void(TinyModel&)>& change) {
  return {what, exit_code, std::move(part), [change](const fs::path& dir) {
            TinyModel model;
            change(model);
            model.write(dir);
          }};
}

Case sharded(const char* what, int exit_code, std::string part,
             const std::function<void(const fs::path&, json& index)>& change) {
  return {what, exit_code, std::move(part), [change](const fs::path& dir) {
            json index = TinyModel().write_sharded(dir);
            change(dir, index);
            if (!index.is_null()) TinyModel::write_index(dir, index);
          }};
}

std::string header_length(uint64_t length, std::string_view rest = "{}") {
  std::string file(sizeof length, '\0');
  std::memcpy(file.data(), &length, sizeof length);
  return file.append(rest);
}

/// Entries of two F32 tensors of one value each, with these offsets.
std::string two(const char* a, const char* b, size_t n_bytes) {
  const auto tensor = [](const char* offsets) {
    return R"({"dtype":"F32","shape":[1],"data_offsets":)" + std::string(offsets) + "}";
  };
  return safetensors_file(R"({"a":)" + tensor(a) + R"(,"b":)" + tensor(b) + "}",
                          std::string(n_bytes, '\1'));
}

std::vector<Case> headers() {
  const std::string f32 = R"("dtype":"F32",)";
  return {
      raw("1 file below 8 bytes", "abc", "too short"),
      raw("2 header length 0", header_length(0), "got 0"),
      raw("3 header over 100 MB", header_length(100'000'001), "100000001"),
      raw("4 header length 2^64-1", header_length(UINT64_MAX), "18446744073709551615"),
      raw("5 header beyond the file", header_length(3), "longer than the file"),
      raw("6 header not an object", safetensors_file("[1]"), "does not begin"),
      raw("7 bad UTF-8", safetensors_file("{\"\xff\xfe\":1}"), "offset 0x"),
      raw("8 bad JSON", safetensors_file("{\"a\":}"), "offset 0x"),
      raw("9 JSON 100,000 deep", safetensors_file("{\"a\":" + std::string(100'000, '[')),
          "out of place"),
      raw("10 duplicate key",
          safetensors_file(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                           R"("a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
                           "1234"),
          "'a'"),
      raw("11 metadata value not a string", safetensors_file(R"({"__metadata__":{"x":1}})"),
          "out of place"),
      entry("12 unknown dtype", R"("dtype":"F7","shape":[2],"data_offsets":[0,8])", "'F7'"),
      entry("13 negative dimension", f32 + R"("shape":[-2],"data_offsets":[0,8])", "negative"),
      entry("13 float dimension", f32 + R"("shape":[2.0],"data_offsets":[0,8])", "integer"),
      entry("13 dimension 2^64", f32 + R"("shape":[18446744073709551616],"data_offsets":[0,8])",
            "integer"),
      entry("14 product wraps",
            f32 + R"("shape":[9223372036854775807,4611686018427387906],"data_offsets":[0,8])",
            "overflows"),
      entry("15 begin after end", f32 + R"("shape":[2],"data_offsets":[8,0])", "backwards"),
      raw("16 overlap", two("[0,4]", "[2,6]", 6), "overlaps"),
      raw("17 hole", two("[0,4]", "[8,12]", 12), "hole"),
      entry("18 trailing bytes", f32 + R"("shape":[2],"data_offsets":[0,8])", "1 bytes after", 9),
      entry("19 truncated data", f32 + R"("shape":[2],"data_offsets":[0,8])", "beyond the file", 7),
      entry("20 size is not shape times dtype", f32 + R"("shape":[3],"data_offsets":[0,8])",
            "needs 12 bytes"),
  };
}

std::vector<Case> files() {
  const auto shard_named = [](const char* name) {
    return
        [name](const fs::path&, json& index) { index["weight_map"]["model.norm.weight"] = name; };
  };
  return {
      changed("21 FP8 without its scales", kContent, "_scale_inv",
              [](TinyModel& model) {
                RawTensor& tensor = model.tensor("model.layers.0.self_attn.o_proj.weight");
                tensor.dtype = "F8_E4M3";
                tensor.data.resize(tensor.data.size() / sizeof(float));
              }),
      sharded("22 several shards without an index", kMissing, "2 .safetensors files",
              [](const fs::path& dir, json& index) {
                index = nullptr;
                fs::remove(dir / "model.safetensors.index.json");
              }),
      sharded("23 malformed index", kContent, "offset 0x",
              [](const fs::path& dir, json& index) {
                index = nullptr;
                write_file(dir / "model.safetensors.index.json", "{");
              }),
      sharded("23 index without weight_map", kContent, "weight_map",
              [](const fs::path&, json& index) { index.erase("weight_map"); }),
      sharded("24 shard missing", kMissing, kSecond,
              [](const fs::path& dir, json&) { fs::remove(dir / kSecond); }),
      sharded("25 tensor in two shards", kContent, "stands in",
              [](const fs::path& dir, json& index) {
                fs::copy_file(dir / kSecond, dir / "third.safetensors");
                index["weight_map"]["x"] = "third.safetensors";
              }),
      sharded("26 listed but absent", kContent, "listed in",
              [](const fs::path&, json& index) { index["weight_map"]["x"] = kSecond; }),
      sharded("27 present but unlisted", kContent, "not listed",
              [](const fs::path&, json& index) { index["weight_map"].erase("model.norm.weight"); }),
      sharded("28 shard path goes up", kContent, "plain file name", shard_named("../m")),
      sharded("28 shard path absolute", kContent, "plain file name", shard_named("/etc/passwd")),
      sharded("28 link out", kContent, "leads out",
              [](const fs::path& dir, json&) {
                fs::rename(dir / kSecond, dir.parent_path() / kSecond);
                fs::create_symlink(dir.parent_path() / kSecond, dir / kSecond);
              }),
      sharded("29 total_size differs", kContent, "total_size",
              [](const fs::path&, json& index) { index["metadata"]["total_size"] = 12; }),
      changed("30 shape differs from the config", kContent, "model.norm.weight",
              [](TinyModel& model) {
                RawTensor& tensor = model.tensor("model.norm.weight");
                tensor.shape = {TinyModel::kHidden / 2};
                tensor.data.resize(tensor.data.size() / 2);
              }),
  };
}

std::vector<Case> values() {
  std::vector<Case> cases;
  for (const float value : {std::nanf(""), INFINITY, -INFINITY}) {
    cases.push_back(changed("31 NaN or infinity in BF16", kContent,
                            "tensor 'lm_head.weight': " +
                                std::string(std::isnan(value) ? "nan"
                                            : value > 0       ? "inf"
                                                              : "-inf") +
                                " at index 77",
                            [value](TinyModel& model) {
                              std::vector<float> all = model.values("lm_head.weight");
                              all[77] = value;
                              model.tensor("lm_head.weight").dtype = "BF16";
                              model.tensor("lm_head.weight").data = bf16_bytes(all);
                            }));
  }
  cases.push_back({"32 no config.json", kMissing, "config.json", [](const fs::path& dir) {
                     TinyModel().write(dir);
                     fs::remove(dir / "config.json");
                   }});
  for (const json& value : {json(0), json(-1), json(1'000'000'000), json("2"), json(nullptr)}) {
    cases.push_back(
        changed("32 a bad number", kContent, "num_hidden_layers",
                [value](TinyModel& model) { model.config["num_hidden_layers"] = value; }));
  }
  cases.push_back(changed("32 unknown architecture", 1, "LlamaForCausalLM", [](TinyModel& model) {
    model.config["architectures"] = {"LlamaForCausalLM"};
  }));
  const auto tokenizer = [&](const char* what, const char* part,
                             const std::function<void(json & tokenizer)>& change) {
    cases.push_back(
        changed(what, kContent, part, [change](TinyModel& model) { change(model.tokenizer); }));
  };
  tokenizer("33 bad merge", "merge", [](json& t) { t["model"]["merges"] = {"th"}; });
  tokenizer("33 duplicate id", "belongs to", [](json& t) { t["model"]["vocab"]["zzz"] = 0; });
  tokenizer("33 gap", "no token has the id", [](json& t) { t["model"]["vocab"]["zzz"] = 33; });
  tokenizer("33 id beyond the vocabulary", "got 5000",
            [](json& t) { t["model"]["vocab"]["zzz"] = TinyModel::kVocab; });
  tokenizer("33 a token that is far too long", "bytes",
            [](json& t) { t["model"]["vocab"][std::string(1 << 20, 'x')] = 32; });
  return cases;
}

}  // namespace

TEST_CASE("bad checkpoints: each kind is refused in one line, and nothing is written") {
  for (const auto& cases : {headers(), files(), values()}) {
    for (const Case& c : cases) {
      CAPTURE(c.what);
      const TempDir dir;
      c.make(dir / "m");
      RunResult result = run_minke({"convert", dir / "m", "-o", dir / "m.gguf", "--type", "Q8_0"});
      // Values are only seen on the way, after the line that tells what is converted to what.
      const size_t note = result.err.find(" of weights\n");
      if (note != std::string::npos) result.err.erase(0, result.err.find('\n') + 1);
      check_refused(result, c.exit_code, c.part);
      CHECK_FALSE(fs::exists(dir / "m.gguf"));
      CHECK_FALSE(fs::exists(dir / "m.gguf.partial"));
    }
  }
}
