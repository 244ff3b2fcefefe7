// Files from strangers: no damage may end the program, none may take much memory or time.
#include <doctest/doctest.h>

#include <ctime>
#include <random>
#include <string>
#include <vector>

#include "runtime/gguf_reader.h"
#include "tests/gguf_builder.h"
#include "tests/support.h"

using namespace minke;
using namespace minke::test;

namespace {

/// Opens whatever is there; what it says does not matter, that it comes back does. Touches all
/// data.
void open_and_touch(const std::filesystem::path& path) {
  const auto file = GgufFile::open(path);
  if (!file) {
    CHECK(file.error().message.find('\n') == std::string::npos);
    return;
  }
  unsigned sum = 0;
  for (const GgufTensor& tensor : file->tensors()) {
    for (const std::byte b : tensor.data) sum += std::to_integer<unsigned>(b);
  }
  for (const auto& entry : file->entries()) {
    for (const std::byte b : entry.encoded) sum += std::to_integer<unsigned>(b);
    (void)file->get_strings(entry.key);
    (void)file->get_ints(entry.key);
    (void)file->get_floats(entry.key);
    (void)file->get_string(entry.key);
  }
  CHECK(sum < ~0U);
}

}  // namespace

TEST_CASE("gguf: a file cut off at any byte is refused") {
  const TempDir dir;
  const std::string whole = small_gguf().build();
  const auto path = dir / "cut.gguf";
  for (size_t size = 1; size < whole.size(); ++size) {
    write_file(path, whole.substr(0, size));
    const auto file = GgufFile::open(path);
    INFO(size);
    REQUIRE_FALSE(file);
    CHECK(file.error().code == Errc::kContent);
    CHECK(file.error().message.find("offset 0x") != std::string::npos);
  }
}

TEST_CASE("gguf: random damage never ends the program") {
  const TempDir dir;
  const auto path = dir / "damaged.gguf";
  const std::string whole = small_gguf()
                                .array("nested", 9, 1, le(8U) + le(uint64_t{1}) + gguf_string("x"))
                                .tensor("q", {64, 2}, 8, std::string(136, 'q'))
                                .build();
  std::mt19937 random(20240507);
  for (int round = 0; round < 2000; ++round) {
    INFO("round " << round);
    std::string bytes = whole;
    const int n_flips = 1 + static_cast<int>(random() % 4);
    for (int i = 0; i < n_flips; ++i) {
      bytes[random() % bytes.size()] = static_cast<char>(random() % 256);
    }
    write_file(path, bytes);
    open_and_touch(path);
  }
  // Every byte of the structure, with the values that break most.
  for (size_t at = 0; at < 260; ++at) {
    for (const char value : {'\0', '\x7f', '\x80', '\xff'}) {
      std::string bytes = whole;
      bytes[at] = value;
      write_file(path, bytes);
      open_and_touch(path);
    }
  }
}

TEST_CASE("gguf: 60,000 keys and 60,000 tensors open in little time") {
  const TempDir dir;
  GgufBuilder b;
  std::string data(60000 * 32, '\0');
  for (int i = 0; i < 60000; ++i) b.u32("some.key.with.a.common.start." + std::to_string(i), 1);
  for (uint64_t i = 0; i < 60000; ++i) {
    b.tensor_at("blk.with.a.common.start." + std::to_string(i), {8}, 0, i * 32,
                i == 0 ? std::string_view(data) : std::string_view());
  }
  write_file(dir / "many.gguf", b.build());
  const std::clock_t begin = std::clock();  // processor time: a busy machine does not count
  const auto file = GgufFile::open(dir / "many.gguf");
  const double seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  if (!file) FAIL(file.error().message);
  CHECK(file->tensors().size() == 60000);
  CHECK(file->get_uint("some.key.with.a.common.start.59999") == 1);
  // 0.03 s on a quiet machine; a quadratic search for duplicates would take minutes.
  MESSAGE("60,000 keys and tensors: " << seconds << " s");
  CHECK(seconds < 2.0);
}

TEST_CASE("gguf: a hostile file takes little memory") {
  const TempDir dir;
  // 200,000 of the smallest records that there are, then claims that the file cannot keep.
  std::string bytes = "GGUF" + le(3U) + le(uint64_t{0}) + le(uint64_t{1} << 19);
  for (uint32_t i = 0; i < 200000; ++i) {
    bytes += gguf_string(std::to_string(i)) + le(0U) + "v";
  }
  bytes += gguf_string("claim") + le(9U) + le(9U) + le(uint64_t{1} << 16);
  bytes.resize(bytes.size() + (12U << 20));
  write_file(dir / "hostile.gguf", bytes);
  const size_t metadata_bytes = bytes.size();
  std::string().swap(bytes);
  std::string message;
  const size_t growth = peak_growth([&] {
    const auto file = GgufFile::open(dir / "hostile.gguf");
    if (!file) message = file.error().message;
  });
  INFO(message);
  REQUIRE_FALSE(message.empty());
  CHECK(growth < (size_t{64} << 20) + 4 * metadata_bytes);
}

TEST_CASE("gguf: what is not a file of its own is refused") {
  const TempDir dir;
  const auto missing = GgufFile::open(dir / "none.gguf");
  REQUIRE_FALSE(missing);
  CHECK(missing.error().code == Errc::kMissing);
  CHECK(missing.error().message == (dir / "none.gguf").string() + ": no such file");
  const auto directory = GgufFile::open(dir.path());
  REQUIRE_FALSE(directory);
  CHECK(directory.error().code == Errc::kIo);
  CHECK(GgufFile::open(dir / "none.gguf" / "x").error().code == Errc::kMissing);
  CHECK(GgufFile::open("/dev/null").error().code == Errc::kIo);
  write_file(dir / "empty.gguf", "");
  CHECK(GgufFile::open(dir / "empty.gguf").error().code == Errc::kContent);
}
