#include "convert/source_hashes.h"

#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

#include "runtime/sha256.h"
#include "tests/support.h"

using namespace minke;
using namespace minke::convert;

namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;  // Files are read in pieces of it.

std::string random_bytes(size_t n, unsigned seed) {
  std::mt19937_64 random(seed);
  std::string bytes(n, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

Sha256Digest digest_of(std::string_view bytes) {
  Sha256 hash;
  hash.update(std::as_bytes(std::span(bytes)));
  return hash.finish();
}

/// Two files, and ranges of them in every place that pieces give.
struct Files {
  test::TempDir dir;
  std::string bytes[2] = {random_bytes(4 * kMiB + 100, 1), random_bytes(kMiB, 2)};
  std::vector<InputFile> files;
  std::vector<const InputFile*> pointers;
  std::vector<StoredHash> stored;

  Files() {
    for (const char* name : {"a", "b"}) {
      test::write_file(dir / name, bytes[name[0] - 'a']);
      files.push_back(*InputFile::open(dir / name));
    }
    for (const InputFile& file : files) pointers.push_back(&file);
    // Several in a piece, beside each other and apart; to its end; over three; to the file's end.
    add(0, 10, 20, "a0");
    add(0, 30, 1, "a1");
    add(0, 100, kMiB - 100, "a2");
    add(0, kMiB + 5, 2 * kMiB, "a3");
    add(0, 4 * kMiB + 99, 1, "a4");
    add(1, 0, kMiB, "b0");
  }
  void add(size_t file, uint64_t begin, uint64_t n, std::string_view name) {
    stored.push_back(
        {&files[file], begin, n, digest_of(std::string_view(bytes[file]).substr(begin, n)), name});
  }
  Result<std::vector<std::string>> run() {
    return SourceHashes(pointers, stored).wait([] { return true; });
  }
};

}  // namespace

TEST_CASE("the files' digests are told, where their tensors have the stored ones") {
  Files f;
  const auto lines = f.run();
  REQUIRE_MESSAGE(lines.has_value(), (lines ? "" : lines.error().message));
  CHECK(*lines == std::vector<std::string>{to_hex(digest_of(f.bytes[0])) + "  a",
                                           to_hex(digest_of(f.bytes[1])) + "  b"});
  CHECK(SourceHashes::placeholders(f.pointers)[0].size() == (*lines)[0].size());
}

TEST_CASE("each range whose digest is another one is told by name") {
  Files f;
  for (StoredHash& stored : f.stored) {
    CAPTURE(stored.name);
    const Sha256Digest good = stored.digest;
    stored.digest[31] ^= std::byte{1};
    const auto lines = f.run();
    REQUIRE_FALSE(lines);
    CHECK(lines.error().code == Errc::kContent);
    CHECK(lines.error().message.starts_with(stored.file->path().string() + ": tensor '" +
                                            std::string(stored.name) + "': its data changed"));
    stored.digest = good;
  }
}

TEST_CASE("the error is there before anybody waits, and a file that changed is told as that") {
  Files f;
  f.stored[0].digest = {};
  SourceHashes hashes(f.pointers, f.stored);
  while (hashes.so_far()) std::this_thread::yield();
  CHECK(hashes.so_far().error().code == Errc::kContent);
  test::write_file(f.dir / "a", "other");
  CHECK(f.run().error().code == Errc::kIo);
}
