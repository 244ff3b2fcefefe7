// GGUF files as a conversion's source: what `minke quantize` does.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <map>
#include <string>

#include "convert/source_hashes.h"
#include "models/deepseek2/weights.h"
#include "tests/convert/convert_support.h"

using namespace minke;
using namespace minke::convert;
using minke::test::TinyModel;
namespace fs = std::filesystem;

namespace {

using M = TinyModel;

GgufModel tiny_model() {
  return {.n_layers = 2,
          .n_heads = M::kHeads,
          .kv_lora_rank = M::kLatent,
          .qk_nope_dim = M::kNope,
          .qk_rope_dim = M::kRope,
          .v_dim = M::kV};
}

Status quantize(const fs::path& from, const fs::path& to, const TypeChoices& choices,
                const ProgressCallback& progress = nullptr, const GgufModel& model = tiny_model()) {
  MINKE_ASSIGN(Source source, open_gguf(from, model));
  MINKE_ASSIGN(const Conversion conversion, Conversion::prepare(std::move(source), choices));
  return conversion.run(to, 2, progress);
}

void require_quantized(const fs::path& from, const fs::path& to, const TypeChoices& choices) {
  const Status status = quantize(from, to, choices);
  REQUIRE_MESSAGE(status.has_value(), (status ? "" : status.error().message));
}

std::string bytes_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// What a file says, without the order in which it says it, and without what it was made from.
struct Content {
  std::map<std::string, std::string> keys;
  std::map<std::string, std::string> tensors;
  bool operator==(const Content&) const = default;
};

Content content(const fs::path& path) {
  const auto file = GgufFile::open(path);
  REQUIRE_MESSAGE(file.has_value(), (file ? "" : file.error().message));
  Content all;
  for (const auto& entry : file->entries()) {
    if (entry.key == SourceHashes::kKey) continue;
    all.keys[std::string(entry.key)] =
        std::to_string(static_cast<int>(entry.type)) + bytes_of(entry.encoded);
  }
  for (const auto& tensor : file->tensors()) {
    all.tensors[std::string(tensor.name)] = std::string(dtype_name(tensor.desc.dtype)) +
                                            to_string(tensor.desc.shape) + bytes_of(tensor.data);
  }
  return all;
}

struct OutTensor {
  std::string name;
  TensorDesc desc;
  std::string data;
};

std::vector<OutTensor> tensors_of(const GgufFile& file) {
  std::vector<OutTensor> all;
  for (const auto& t : file.tensors()) {
    all.push_back({std::string(t.name), t.desc, bytes_of(t.data)});
  }
  return all;
}

void write_gguf(const fs::path& path, const std::function<void(GgufWriter&)>& metadata,
                std::span<const OutTensor> tensors) {
  auto writer = GgufWriter::create(path);
  REQUIRE(writer);
  metadata(*writer);
  for (const OutTensor& t : tensors) writer->add_tensor(t.name, t.desc);
  REQUIRE(writer->begin_data());
  for (const OutTensor& t : tensors) {
    REQUIRE(writer->write(std::as_bytes(std::span(t.data))));
  }
  REQUIRE(writer->finish());
}

/// The keys that a file from before April 2025 has, from one of today.
void old_metadata(const GgufFile& file, GgufWriter& writer) {
  for (const auto& entry : file.entries()) {
    if (entry.key.starts_with("deepseek2.attention.key_length") ||
        entry.key.starts_with("deepseek2.attention.value_length") ||
        entry.key == "deepseek2.attention.head_count_kv") {
      continue;
    }
    writer.set_entry(entry);
  }
  writer.set_u32("deepseek2.attention.head_count_kv", M::kHeads);
  writer.set_u32("deepseek2.attention.key_length", M::kNope + M::kRope);
  writer.set_u32("deepseek2.attention.value_length", M::kV);
}

/// The tensors with attn_kv_b of type `dtype`, from the checkpoint's kv_b_proj; `keep_parts`: also
/// attn_k_b and attn_v_b.
std::vector<OutTensor> old_tensors(const GgufFile& file, TinyModel& model, DType dtype,
                                   bool keep_parts) {
  std::vector<OutTensor> all;
  for (OutTensor& t : tensors_of(file)) {
    const size_t at = t.name.find("attn_k_b");
    const bool is_part = at != std::string::npos || t.name.find("attn_v_b") != std::string::npos;
    if (at != std::string::npos) {
      const auto values =
          model.values("model.layers." + t.name.substr(4, 1) + ".self_attn.kv_b_proj.weight");
      OutTensor kv_b{t.name.substr(0, at) + "attn_kv_b.weight",
                     {dtype, Shape{M::kHeads * (M::kNope + M::kV), M::kLatent}},
                     ""};
      kv_b.data.resize(kv_b.desc.bytes());
      const FormatTraits& format = *find_format(dtype);
      format.encode(values.data(), nullptr, kv_b.data.data(), values.size() / format.block_len);
      all.push_back(std::move(kv_b));
    }
    if (!is_part || keep_parts) all.push_back(std::move(t));
  }
  return all;
}

}  // namespace

TEST_CASE("a quantized F32 file is what convert makes of the checkpoint") {
  const test::TempDir dir;
  const TinyModel model;
  test::converted(model, dir);
  for (const Recipe& recipe : recipes()) {
    CAPTURE(recipe.name);
    if (needs_importance(recipe.base)) continue;
    require_quantized(dir / "m.gguf", dir / "q.gguf", {.recipe = &recipe});
    REQUIRE(test::convert_to(dir / "m", dir / "c.gguf", recipe.name.data()));
    CHECK(content(dir / "q.gguf") == content(dir / "c.gguf"));
  }
}

TEST_CASE("a copy keeps every tensor and key, whatever the types") {
  const test::TempDir dir;
  for (const char* recipe : {"F32", "BF16", "Q4_K_M", "Q2_K"}) {
    CAPTURE(recipe);
    test::converted(TinyModel(), dir, recipe);
    require_quantized(dir / "m.gguf", dir / "q.gguf", {});
    CHECK(content(dir / "q.gguf") == content(dir / "m.gguf"));
    fs::remove_all(dir / "m");
  }
}

TEST_CASE("an old file's attn_kv_b becomes attn_k_b and attn_v_b") {
  const test::TempDir dir;
  TinyModel model;
  const GgufFile file = test::converted(model, dir);
  const auto old = [&](GgufWriter& writer) { old_metadata(file, writer); };
  write_gguf(dir / "old.gguf", old, old_tensors(file, model, DType::kF32, false));
  write_gguf(dir / "all.gguf", old, old_tensors(file, model, DType::kF32, true));
  for (const char* name : {"F32", "Q8_0", "Q4_K_M"}) {
    CAPTURE(name);
    const TypeChoices choices{.recipe = find_recipe(name)};
    REQUIRE(test::convert_to(dir / "m", dir / "c.gguf", name));
    const Content expected = content(dir / "c.gguf");
    require_quantized(dir / "old.gguf", dir / "q.gguf", choices);
    CHECK(content(dir / "q.gguf") == expected);
    require_quantized(dir / "all.gguf", dir / "q.gguf", choices);
    CHECK(content(dir / "q.gguf") == expected);
  }
}

TEST_CASE("a quantized attn_kv_b is split as the runtime splits it") {
  const test::TempDir dir;
  TinyModel model;
  const GgufFile file = test::converted(model, dir);
  write_gguf(
      dir / "old.gguf", [&](GgufWriter& writer) { old_metadata(file, writer); },
      old_tensors(file, model, DType::kQ8_0, false));
  require_quantized(dir / "old.gguf", dir / "new.gguf", {});
  const auto old_file = GgufFile::open(dir / "old.gguf"),
             new_file = GgufFile::open(dir / "new.gguf");
  REQUIRE(new_file);
  const auto config = deepseek2::read_config(*new_file);
  REQUIRE(config);
  const auto old_weights = deepseek2::load_weights(*old_file, *config);
  const auto new_weights = deepseek2::load_weights(*new_file, *config);
  REQUIRE(old_weights);
  REQUIRE(new_weights);
  CHECK(new_weights->owned_bytes() == 0);
  for (size_t i = 0; i < 2; ++i) {
    for (const auto part : {&deepseek2::LayerWeights::k_b, &deepseek2::LayerWeights::v_b}) {
      const auto &a = old_weights->layers[i].*part, &b = new_weights->layers[i].*part;
      REQUIRE(a.desc == b.desc);
      CHECK(std::memcmp(a.data, b.data, a.desc.bytes()) == 0);
    }
  }
}

TEST_CASE("an attn_kv_b that does not fit the heads is refused") {
  const test::TempDir dir;
  TinyModel model;
  const GgufFile file = test::converted(model, dir);
  write_gguf(
      dir / "old.gguf", [&](GgufWriter& writer) { old_metadata(file, writer); },
      old_tensors(file, model, DType::kF32, false));
  GgufModel other = tiny_model();
  other.n_heads = 4;
  const auto source = open_gguf(dir / "old.gguf", other);
  REQUIRE_FALSE(source);
  CHECK(source.error().code == Errc::kShape);
  CHECK(source.error().message.find("blk.0.attn_kv_b.weight") != std::string::npos);
}

TEST_CASE("keys of routing in groups are added where the model needs them") {
  const test::TempDir dir;
  const GgufFile file = test::converted(TinyModel(), dir);
  const auto without_groups = [&](GgufWriter& writer) {
    for (const auto& entry : file.entries()) {
      if (entry.key.find("expert_group_") == std::string_view::npos) writer.set_entry(entry);
    }
  };
  write_gguf(dir / "old.gguf", without_groups, tensors_of(file));
  require_quantized(dir / "old.gguf", dir / "same.gguf", {});
  CHECK_FALSE(GgufFile::open(dir / "same.gguf")->has("deepseek2.expert_group_count"));

  GgufModel model = tiny_model();
  model.n_groups_to_add = 4;
  model.n_groups_used_to_add = 2;
  REQUIRE(quantize(dir / "old.gguf", dir / "new.gguf", {}, nullptr, model));
  const auto added = GgufFile::open(dir / "new.gguf");
  CHECK(*added->get_uint("deepseek2.expert_group_count") == 4);
  CHECK(*added->get_uint("deepseek2.expert_group_used_count") == 2);
}

TEST_CASE("all parts of a split file are read, and one file is written") {
  const test::TempDir dir;
  const GgufFile file = test::converted(TinyModel(), dir);
  const auto tensors = tensors_of(file);
  const size_t middle = tensors.size() / 2;
  std::string other_name(GgufWriter::kHashesKey);
  other_name.back() = '_';
  for (uint32_t part = 0; part < 2; ++part) {
    const auto metadata = [&](GgufWriter& writer) {
      if (part == 0) {
        for (GgufFile::Entry entry : file.entries()) {
          // The writer leaves hashes of others out, unless they come by another name.
          if (entry.key == GgufWriter::kHashesKey) entry.key = other_name;
          writer.set_entry(entry);
        }
      }
      writer.set_u32("split.no", part);
      writer.set_u32("split.count", 2);
      writer.set_u32("split.tensors.count", static_cast<uint32_t>(tensors.size()));
    };
    write_gguf(dir / ("s-0000" + std::to_string(part + 1) + "-of-00002.gguf"), metadata,
               part == 0 ? std::span(tensors).first(middle) : std::span(tensors).subspan(middle));
  }
  const std::string first = dir / "s-00001-of-00002.gguf", second = dir / "s-00002-of-00002.gguf";
  std::string header = test::read_file(first);
  header.replace(header.find(other_name), other_name.size(), GgufWriter::kHashesKey);
  test::write_file(first, header);
  require_quantized(second, dir / "q.gguf", {});
  CHECK(content(dir / "q.gguf") == content(dir / "m.gguf"));

  std::string bytes = test::read_file(second);
  const uint64_t place = GgufFile::open(second)->find_tensor(tensors.back().name)->offset;
  bytes[place] = static_cast<char>(bytes[place] ^ 1);
  test::write_file(second, bytes);
  const Status status = quantize(second, dir / "q.gguf", {});
  REQUIRE_FALSE(status);
  CHECK(status.error().message.find(second + ": tensor '" + tensors.back().name + "': its data") !=
        std::string::npos);
}

TEST_CASE("weights are quantized a second time only when that is allowed") {
  const test::TempDir dir;
  test::converted(TinyModel(), dir, "Q8_0");
  const Recipe* recipe = find_recipe("Q4_0");
  const Status refused = quantize(dir / "m.gguf", dir / "q.gguf", {.recipe = recipe});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::kUnsupported);
  CHECK(refused.error().message.find("token_embd.weight") != std::string::npos);
  CHECK(refused.error().message.find("--allow-requantize") != std::string::npos);
  require_quantized(dir / "m.gguf", dir / "q.gguf", {.recipe = recipe, .allow_requantize = true});
  const auto file = GgufFile::open(dir / "q.gguf");
  CHECK(file->find_tensor("token_embd.weight")->desc.dtype == DType::kQ4_0);
  CHECK(*file->get_uint("general.file_type") == recipe->file_type);
  // To floats nothing is lost, and what has its type already is copied.
  require_quantized(dir / "m.gguf", dir / "f.gguf", {.recipe = find_recipe("F32")});
  require_quantized(dir / "m.gguf", dir / "same.gguf", {.recipe = find_recipe("Q8_0")});
  CHECK(content(dir / "same.gguf") == content(dir / "m.gguf"));
}

TEST_CASE("a NaN in a block is named, and a file that changes meanwhile is an error") {
  const test::TempDir dir;
  {
    const GgufFile file = test::converted(TinyModel(), dir, "Q8_0");
    auto tensors = tensors_of(file);
    const auto is_output = [](const OutTensor& t) { return t.name == "output.weight"; };
    const auto output = std::ranges::find_if(tensors, is_output);
    REQUIRE(output != tensors.end());
    // The scale of block 3: values 96 to 127, row 1 from column 32 on.
    output->data.replace(3 * 34, 2, std::string("\x00\x7e", 2));
    const auto copy = [&](GgufWriter& writer) {
      for (const auto& entry : file.entries()) writer.set_entry(entry);
    };
    write_gguf(dir / "nan.gguf", copy, tensors);
  }
  for (const char* recipe : {"F32", "Q8_0"}) {
    const Status status =
        quantize(dir / "nan.gguf", dir / "q.gguf", {.recipe = find_recipe(recipe)});
    REQUIRE_FALSE(status);
    CHECK(status.error().code == Errc::kContent);
    CHECK(status.error().message.find(
              "tensor 'output.weight': nan at index 96 (row 1, column 32)") != std::string::npos);
  }
  bool done = false;
  const Status status = quantize(dir / "m.gguf", dir / "q.gguf", {}, [&](const Progress&) {
    if (!done) fs::resize_file(dir / "m.gguf", fs::file_size(dir / "m.gguf") + 1);
    done = true;
    return true;
  });
  REQUIRE_FALSE(status);
  CHECK(status.error().code == Errc::kIo);
  CHECK_FALSE(fs::exists(dir / "q.gguf"));
}

TEST_CASE("data that do not have the file's hash are refused, unless it is another file's hash") {
  const test::TempDir dir;
  std::vector<std::pair<std::string, uint64_t>> places;
  {
    const GgufFile file = test::converted(TinyModel(), dir, "F16");
    for (const GgufTensor& t : file.tensors()) {
      places.emplace_back(t.name, t.offset);
      places.emplace_back(t.name, t.offset + t.data.size() - 1);
    }
  }
  require_quantized(dir / "m.gguf", dir / "q.gguf", {});
  const std::string good = test::read_file(dir / "m.gguf");
  for (const auto& flip : places) {
    const std::string& name = flip.first;
    const uint64_t place = flip.second;
    CAPTURE(name);
    std::string bytes = good;
    bytes[place] = static_cast<char>(bytes[place] ^ 1);
    test::write_file(dir / "flip.gguf", bytes);
    const Status status = quantize(dir / "flip.gguf", dir / "new.gguf", {});
    REQUIRE_FALSE(status);
    CHECK(status.error().code == Errc::kContent);
    CHECK(status.error().message.find("tensor '" + name + "': its data changed after it was") !=
          std::string::npos);
  }
  CHECK_FALSE(fs::exists(dir / "new.gguf"));
  CHECK_FALSE(fs::exists(dir / "new.gguf.partial"));

  // A digest of another layout: the hashes are of the file that this one was made from.
  std::string bytes = good;
  const std::string key = "minke.tensor_layout_sha256";
  char& digit = bytes[bytes.find(key) + key.size() + sizeof(uint32_t) + sizeof(uint64_t)];
  digit = digit == '0' ? '1' : '0';
  bytes[places.back().second] = static_cast<char>(bytes[places.back().second] ^ 1);
  test::write_file(dir / "other.gguf", bytes);
  require_quantized(dir / "other.gguf", dir / "q2.gguf", {});
}
