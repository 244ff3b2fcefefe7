#include "runtime/mmap.h"

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include "runtime/input_file.h"
#include "tests/locked_memory.h"
#include "tests/support.h"

using namespace minke;
using namespace minke::test;

TEST_CASE("mmap: the bytes stay where they are when the owner moves") {
  const TempDir dir;
  const std::string content(10000, 'm');
  write_file(dir / "a", content);
  auto opened = MappedFile::open(dir / "a");
  REQUIRE(opened);
  const std::byte* const data = opened->bytes().data();
  MappedFile moved = std::move(*opened);
  CHECK(moved.bytes().data() == data);
  CHECK(moved.bytes().size() == content.size());
  CHECK(moved.path() == dir / "a");
  MappedFile other;
  other = std::move(moved);
  CHECK(other.bytes()[9999] == std::byte{'m'});
}

TEST_CASE("mmap: a range is read into memory, or says that it cannot be") {
  const TempDir dir;
  constexpr size_t kSize = 5 << 20;
  write_file(dir / "a", std::string(kSize, 'p'));
  const auto file = MappedFile::open(dir / "a");
  REQUIRE(file);
  REQUIRE(file->populate(file->bytes()));
  CHECK(file->is_resident());
  CHECK(file->populate(file->bytes().first(0)));
  CHECK(file->populate(file->bytes().subspan(4097, 1)));
  std::filesystem::resize_file(dir / "a", kSize / 2);
  const Status lost = file->populate(file->bytes());
  // Before Linux 5.14, and in an emulator, nothing is read.
  if (!lost) {
    CHECK(lost.error().code == Errc::kIo);
    CHECK(lost.error().message.find((dir / "a").string()) != std::string::npos);
  } else {
    MESSAGE("SKIPPED: this system does not read files ahead for a mapping");
  }
  CHECK(MappedFile().is_resident());
}

TEST_CASE("mmap: keeping a file in memory works or says which limit forbids it") {
  const TempDir dir;
  write_file(dir / "a", "small");
  const auto file = MappedFile::open(dir / "a");
  REQUIRE(file);
  const int before = locked_kilobytes();
  const Status status = file->lock();
  if (status) {
    CHECK((locked_kilobytes() > before) == mlock_is_real());
  } else {
    CHECK(status.error().code == Errc::kMemory);
    CHECK(status.error().message.find("ulimit -l") != std::string::npos);
  }
  CHECK(file->bytes()[0] == std::byte{'s'});
}

TEST_CASE("mmap: an address tells its file while it is mapped") {
  const TempDir dir;
  write_file(dir / "a", std::string(5000, 'a'));
  write_file(dir / "b", std::string(5000, 'b'));
  const auto a = MappedFile::open(dir / "a");
  REQUIRE(a);
  const std::byte* lost = nullptr;
  {
    const auto b = MappedFile::open(dir / "b");
    REQUIRE(b);
    lost = b->bytes().data();
    CHECK(mapped_file_at(&a->bytes().front()) == printable_path(dir / "a"));
    CHECK(mapped_file_at(&b->bytes().back()) == printable_path(dir / "b"));
  }
  CHECK(mapped_file_at(lost) == nullptr);
  CHECK(mapped_file_at(&dir) == nullptr);
  CHECK(mapped_file_at(nullptr) == nullptr);
}

TEST_CASE("mmap: more files than can be named are mapped all the same") {
  const TempDir dir;
  write_file(dir / "a", "a");
  std::vector<MappedFile> files;
  for (int i = 0; i < 300; ++i) {
    auto file = MappedFile::open(dir / "a");
    REQUIRE(file);
    files.push_back(std::move(*file));
  }
  CHECK(mapped_file_at(files.front().bytes().data()) != nullptr);
  CHECK(mapped_file_at(files.back().bytes().data()) == nullptr);
}
