#include "convert/verify.h"

#include <doctest/doctest.h>

#include <random>
#include <string>

#include "convert/tensor_hashes.h"
#include "runtime/gguf_writer.h"
#include "runtime/sha256.h"
#include "tests/convert/convert_support.h"

using namespace minke;
using namespace minke::convert;
namespace fs = std::filesystem;

namespace {

VerifyReport verified(const fs::path& path, int n_threads = 2) {
  const auto file = GgufFile::open(path);
  REQUIRE_MESSAGE(file.has_value(), (file ? "" : file.error().message));
  const auto report = verify_tensors(*file, n_threads, nullptr);
  REQUIRE_MESSAGE(report.has_value(), (report ? "" : report.error().message));
  return *report;
}

/// Sets tensor data of a file without hashes.
void write_plain(const fs::path& from, const fs::path& to,
                 const std::function<void(std::string_view, std::string&)>& change) {
  const auto file = GgufFile::open(from);
  REQUIRE(file);
  auto writer = GgufWriter::create(to);
  REQUIRE(writer);
  for (const auto& entry : file->entries()) writer->set_entry(entry);
  for (const auto& t : file->tensors()) writer->add_tensor(t.name, t.desc);
  REQUIRE(writer->begin_data());
  for (const auto& t : file->tensors()) {
    std::string data(reinterpret_cast<const char*>(t.data.data()), t.data.size());
    change(t.name, data);
    REQUIRE(writer->write(std::as_bytes(std::span(data))));
  }
  REQUIRE(writer->finish());
}

}  // namespace

TEST_CASE("a converted file holds the SHA-256 of every tensor, and is good") {
  const test::TempDir dir;
  const GgufFile file = test::converted(test::TinyModel(), dir, "Q4_K_M");
  const auto entries = file.entries();
  const auto entry = std::ranges::find(entries, GgufWriter::kHashesKey, &GgufFile::Entry::key);
  REQUIRE(entry != entries.end());
  REQUIRE(entry->encoded.size() == 32 * file.tensors().size());
  for (size_t i = 0; i < file.tensors().size(); ++i) {
    Sha256 hash;
    hash.update(file.tensors()[i].data);
    CHECK(std::ranges::equal(hash.finish(), entry->encoded.subspan(32 * i, 32)));
  }
  Sha256 source;
  const std::string checkpoint = test::read_file(dir / "m/model.safetensors");
  source.update(std::as_bytes(std::span(checkpoint)));
  CHECK(file.get_strings("minke.source_sha256") ==
        std::vector<std::string_view>{to_hex(source.finish()) + "  model.safetensors"});
  for (const int n_threads : {1, 3}) {
    const VerifyReport report = verified(dir / "m.gguf", n_threads);
    CHECK(report.has_hashes);
    CHECK(report.n_tensors == file.tensors().size());
    CHECK(report.faults.empty());
  }
}

TEST_CASE("each of 1000 single flipped bits of tensor data is found, and the tensor named") {
  const test::TempDir dir;
  std::vector<std::pair<uint64_t, std::string>> places;  // of each tensor's bytes
  {
    const GgufFile file = test::converted(test::TinyModel(), dir, "Q4_K_M");
    std::mt19937_64 random(7);
    for (int i = 0; i < 1000; ++i) {
      const GgufTensor& t = file.tensors()[random() % file.tensors().size()];
      places.emplace_back(t.offset + random() % t.data.size(), t.name);
    }
  }
  const std::string good = test::read_file(dir / "m.gguf");
  fs::create_directory(dir / "flip");
  std::mt19937 random(11);
  int n_found = 0;
  for (const auto& [offset, name] : places) {
    std::string bytes = good;
    bytes[offset] = static_cast<char>(bytes[offset] ^ (1 << (random() % 8)));
    test::write_file(dir / "flip/m.gguf", bytes);
    const VerifyReport report = verified(dir / "flip/m.gguf");
    n_found += report.faults.size() == 1 &&
               report.faults[0].find("tensor '" + name + "'") != std::string::npos;
  }
  CHECK(n_found == 1000);
}

TEST_CASE("a file without hashes is checked for numbers that are none") {
  const test::TempDir dir;
  test::converted(test::TinyModel(), dir, "Q8_0");
  write_plain(dir / "m.gguf", dir / "plain.gguf", [](auto, auto&) {});
  const VerifyReport good = verified(dir / "plain.gguf");
  CHECK_FALSE(good.has_hashes);
  CHECK(good.faults.empty());
  write_plain(dir / "m.gguf", dir / "bad.gguf", [](std::string_view name, std::string& data) {
    // An infinite scale in the fifth block, with two blocks a row; a NaN in a vector.
    if (name == "output.weight") data.replace(4 * 34, 2, std::string("\x00\x7c", 2));
    if (name == "output_norm.weight") data.replace(4, 4, std::string("\x00\x00\xc0\x7f", 4));
  });
  const VerifyReport bad = verified(dir / "bad.gguf");
  REQUIRE(bad.faults.size() == 2);
  CHECK(bad.faults[0].find("'output_norm.weight': nan at index 1 ") != std::string::npos);
  CHECK(bad.faults[1].find("'output.weight'") != std::string::npos);
  CHECK(bad.faults[1].find("(row 2, column 0)") != std::string::npos);
}

TEST_CASE("hashes that do not fit the tensors are an error, and an interruption ends the check") {
  const test::TempDir dir;
  const GgufFile file = test::converted(test::TinyModel(), dir, "Q8_0");
  auto writer = GgufWriter::create(dir / "odd.gguf");
  REQUIRE(writer);
  writer->set_string(GgufWriter::kHashesKey, "none");
  struct Tensor {
    std::string_view name;
    TensorDesc desc;
  };
  const Tensor tensor{"a", {DType::kF32, Shape{1}}};
  writer->set_string(kLayoutKey, layout_digest(std::span(&tensor, 1)));
  writer->add_tensor(tensor.name, tensor.desc);
  REQUIRE(writer->begin_data());
  REQUIRE(writer->write(std::vector<std::byte>(4)));
  REQUIRE(writer->finish());
  const auto odd = GgufFile::open(dir / "odd.gguf");
  CHECK(verify_tensors(*odd, 1, nullptr).error().code == Errc::kContent);

  const auto stop = [](const Progress&) { return false; };
  CHECK(verify_tensors(file, 2, stop).error().code == Errc::kCancelled);
}
