#include "runtime/gguf_writer.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <numeric>
#include <string>
#include <vector>

#include "runtime/atomic_file.h"
#include "tests/gguf_builder.h"
#include "tests/support.h"

using namespace minke;
using namespace minke::test;
namespace fs = std::filesystem;

namespace {

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

}  // namespace

TEST_CASE("gguf writer: the reader reads what was written") {
  const TempDir dir;
  const fs::path path = dir / "a.gguf";
  const std::string q4(2 * 2 * 144, 'q');
  const std::vector<std::string> words = {"one", "", "drei"};
  {
    auto writer = GgufWriter::create(path);
    REQUIRE(writer);
    writer->set_u32("u32", 7);
    writer->set_u64("u64", uint64_t{1} << 40);
    writer->set_f32("f32", 0.25f);
    writer->set_bool("bool", true);
    writer->set_string("string", "text");
    writer->set_strings("strings", words);
    writer->set_i32s("i32s", std::vector<int32_t>{-1, 2});
    writer->set_f32s("f32s", std::vector<float>{0.5f});
    writer->add_tensor("norm", {DType::kF32, Shape{3}});
    writer->add_tensor("w", {DType::kQ4_K, Shape{2, 512}});
    const uint64_t planned = writer->planned_bytes();
    REQUIRE(writer->begin_data());
    const std::vector<float> norm = {1, 2, 3};
    REQUIRE(writer->write(std::as_bytes(std::span(norm))));
    REQUIRE(writer->write(bytes_of(q4).first(100)));
    REQUIRE(writer->write(bytes_of(q4).subspan(100)));
    CHECK_FALSE(fs::exists(path));
    REQUIRE(writer->finish());
    CHECK(fs::file_size(path) == planned);
  }
  CHECK_FALSE(fs::exists(dir / "a.gguf.partial"));
  const auto file = GgufFile::open(path);
  if (!file) FAIL(file.error().message);
  CHECK(file->get_uint("u32") == 7);
  CHECK(file->get_uint("u64") == uint64_t{1} << 40);
  CHECK(file->get_float("f32") == 0.25);
  CHECK(file->get_bool("bool") == true);
  CHECK(file->get_string("string") == "text");
  CHECK(file->get_strings("strings")->size() == 3);
  CHECK(file->get_strings("strings")->at(2) == "drei");
  CHECK(file->get_ints("i32s") == std::vector<int64_t>{-1, 2});
  CHECK(file->get_floats("f32s") == std::vector<double>{0.5});
  const GgufTensor* w = file->find_tensor("w");
  REQUIRE(w != nullptr);
  CHECK(w->desc == TensorDesc{DType::kQ4_K, Shape{2, 512}});
  CHECK(std::memcmp(w->data.data(), q4.data(), q4.size()) == 0);
  CHECK(file->find_tensor("norm")->desc.shape == Shape{3});
}

TEST_CASE("gguf writer: entries copy to another file as they stand") {
  const TempDir dir;
  GgufBuilder b;
  b.alignment = 64;
  b.u32("general.alignment", 64).u32("split.count", 1).string("s", "t").raw("i8", 1, "\xff");
  b.strings("strings", {"a", "bc"});
  b.array("nested", 9, 1, le(uint32_t{0}) + le(uint64_t{2}) + "xy");
  b.zeros("w", {4});
  write_file(dir / "a.gguf", b.build());
  const auto source = GgufFile::open(dir / "a.gguf");
  REQUIRE(source);
  auto writer = GgufWriter::create(dir / "b.gguf");
  REQUIRE(writer);
  for (const auto& entry : source->entries()) writer->set_entry(entry);
  for (const auto& tensor : source->tensors()) writer->add_tensor(tensor.name, tensor.desc);
  REQUIRE(writer->begin_data());
  for (const auto& tensor : source->tensors()) REQUIRE(writer->write(tensor.data));
  REQUIRE(writer->finish());

  const auto copy = GgufFile::open(dir / "b.gguf");
  if (!copy) FAIL(copy.error().message);
  REQUIRE(copy->entries().size() == source->entries().size() - 2);
  CHECK_FALSE(copy->has("general.alignment"));
  for (size_t i = 0; i < copy->entries().size(); ++i) {
    const auto& a = source->entries()[i + 2];
    const auto& c = copy->entries()[i];
    CHECK(a.key == c.key);
    CHECK(a.type == c.type);
    CHECK(a.element_type == c.element_type);
    CHECK(a.count == c.count);
    REQUIRE(a.encoded.size() == c.encoded.size());
    CHECK(std::memcmp(a.encoded.data(), c.encoded.data(), a.encoded.size()) == 0);
  }
}

TEST_CASE("atomic file: nothing appears, and nothing is lost, before commit") {
  const TempDir dir;
  const fs::path path = dir / "out";
  write_file(path, "old");
  {
    auto file = AtomicFile::create(path);
    REQUIRE(file);
    REQUIRE(file->write(std::string(3'000'000, 'x')));
    CHECK(fs::exists(dir / "out.partial"));
    CHECK(read_file(path) == "old");
    const auto second = AtomicFile::create(path);
    REQUIRE_FALSE(second);
    CHECK(second.error().code == Errc::kIo);
    CHECK(second.error().message.find("another program is writing") != std::string::npos);
  }
  CHECK_FALSE(fs::exists(dir / "out.partial"));
  CHECK(read_file(path) == "old");
  auto file = AtomicFile::create(path);
  REQUIRE(file);
  std::string expected;
  for (int i = 0; i < 3000; ++i) {
    const std::string line(static_cast<size_t>(i), static_cast<char>('a' + i % 26));
    REQUIRE(file->write(line));
    expected += line;
  }
  CHECK(file->size_bytes() == expected.size());
  REQUIRE(file->commit());
  CHECK(read_file(path) == expected);
  CHECK_FALSE(fs::exists(dir / "out.partial"));
}

TEST_CASE("atomic file: pieces of any size, and what goes on behind them, give one file") {
  const TempDir dir;
  auto file = AtomicFile::create(dir / "out");
  REQUIRE(file);
  std::string expected;
  const auto write = [&](size_t size, char fill) {
    REQUIRE(file->write(std::string(size, fill)));
    expected.append(size, fill);
    CHECK(file->size_bytes() == expected.size());
  };
  write(7'000'001, 'a');
  write(1, 'b');
  REQUIRE(file->flush());
  write(size_t{2} << 20, 'c');
  write(size_t{6} << 20, 'd');
  expected.resize(9'999'999);
  REQUIRE(file->truncate(expected.size()));
  write(3'000'000, 'e');
  REQUIRE(file->overwrite(8'000'000, std::as_bytes(std::span("over", 4))));
  expected.replace(8'000'000, 4, "over");
  write(0, 'f');
  write(123, 'g');
  REQUIRE(file->commit());
  const bool same = read_file(dir / "out") == expected;
  CHECK(same);
}

TEST_CASE("atomic file: a write that fails leaves nothing behind") {
  const TempDir dir;
  write_file(dir / "out", "old");
  // A limit on the size of files fails as a full disk does.
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto old_handler = signal(SIGXFSZ, SIG_IGN);
  const rlimit small{1 << 20, before.rlim_max};
  REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
  Status status;
  Status again;
  Status committed;
  {
    auto file = AtomicFile::create(dir / "out");
    for (int i = 0; i < 100 && file && status; ++i) status = file->write(std::string(100'000, 'x'));
    again = file->write("more");
    committed = file->commit();
  }
  setrlimit(RLIMIT_FSIZE, &before);
  signal(SIGXFSZ, old_handler);
  REQUIRE_FALSE(status);
  INFO(status.error().message);
  CHECK(status.error().code == Errc::kIo);
  CHECK(status.error().message.find("out: cannot write after 1") != std::string::npos);
  REQUIRE_FALSE(again);
  CHECK(again.error().message == status.error().message);
  REQUIRE_FALSE(committed);
  CHECK(read_file(dir / "out") == "old");
  CHECK_FALSE(fs::exists(dir / "out.partial"));
}

TEST_CASE("atomic file: what cannot be written is one clear error") {
  const TempDir dir;
  const auto refused = [&](const fs::path& path, Errc code, std::string_view part) {
    const auto file = AtomicFile::create(path);
    REQUIRE_FALSE(file);
    INFO(file.error().message);
    CHECK(file.error().code == code);
    CHECK(file.error().message.find(part) != std::string::npos);
    CHECK(file.error().message.find('\n') == std::string::npos);
  };
  refused(dir / "none" / "out", Errc::kMissing, "no such directory");
  refused(dir.path(), Errc::kIo, "is a directory");
  refused("/dev/full", Errc::kIo, "is a device");
  fs::create_symlink(dir / "elsewhere", dir / "link.partial");
  refused(dir / "link", Errc::kIo, "cannot create");
  CHECK_FALSE(fs::exists(dir / "elsewhere"));
  fs::create_symlink(dir / "elsewhere", dir / "dangling");
  refused(dir / "dangling", Errc::kIo, "is a symbolic link");
  if (geteuid() != 0) {
    fs::create_directory(dir / "locked");
    ::chmod((dir / "locked").c_str(), 0500);
    refused(dir / "locked" / "out", Errc::kIo, "Permission denied");
  }
  auto file = AtomicFile::create(dir / "huge");
  REQUIRE(file);
  const Status space = file->check_space(~uint64_t{0});
  REQUIRE_FALSE(space);
  CHECK(space.error().message.find("not enough space: 18446744073709551615 bytes are needed") !=
        std::string::npos);
}
