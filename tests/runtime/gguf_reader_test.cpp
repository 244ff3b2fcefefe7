#include "runtime/gguf_reader.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "tests/gguf_builder.h"
#include "tests/support.h"

using namespace minke;
using namespace minke::test;

namespace {

GgufFile open_bytes(const TempDir& dir, std::string_view bytes) {
  write_file(dir / "a.gguf", bytes);
  auto file = GgufFile::open(dir / "a.gguf");
  if (!file) FAIL(file.error().message);
  return std::move(*file);
}

}  // namespace

TEST_CASE("gguf: every metadata type is read by its accessor") {
  const TempDir dir;
  GgufBuilder b;
  b.raw("u8", 0, le(uint8_t{200})).raw("i8", 1, le(int8_t{100})).raw("u16", 2, le(uint16_t{60000}));
  b.raw("i16", 3, le(int16_t{-5})).u32("u32", 4000000000U).raw("i32", 5, le(int32_t{7}));
  b.f32("f32", 0.5f).boolean("bool", true).string("string", "a\nb").raw("f64", 12, le(0.1));
  b.raw("u64", 10, le(uint64_t{1} << 63)).raw("i64", 11, le(int64_t{-1}));
  b.strings("strings", {"x", "", "yz"}).array("f32s", 6, 2, le(1.5f) + le(-2.0f));
  b.array("i16s", 3, 2, le(int16_t{-1}) + le(int16_t{300})).array("empty", 4, 0, "");
  b.array("bools", 7, 2, std::string("\x01\x00", 2));
  for (const uint32_t version : {2U, 3U}) {
    b.version = version;
    const GgufFile file = open_bytes(dir, b.build());
    CHECK(file.get_uint("u8") == 200);
    CHECK(file.get_uint("i8") == 100);
    CHECK(file.get_uint("u16") == 60000);
    CHECK(file.get_uint("u32") == 4000000000U);
    CHECK(file.get_uint("i32") == 7);
    CHECK(file.get_uint("u64") == uint64_t{1} << 63);
    CHECK(file.get_float("f32") == 0.5);
    CHECK(file.get_float("f64") == 0.1);
    CHECK(file.get_bool("bool") == true);
    CHECK(file.get_string("string") == "a\nb");
    CHECK(file.get_strings("strings") == std::vector<std::string_view>{"x", "", "yz"});
    CHECK(file.get_floats("f32s") == std::vector<double>{1.5, -2.0});
    CHECK(file.get_ints("i16s") == std::vector<int64_t>{-1, 300});
    CHECK(file.get_ints("empty") == std::vector<int64_t>{});
    CHECK(file.entries().size() == 17);
    CHECK(file.has("i64"));
    CHECK_FALSE(file.has("other"));
    CHECK(file.get_uint_or("other", 9) == 9);
    CHECK(file.get_float_or("other", 9.5) == 9.5);
    CHECK(file.get_bool_or("other", true) == true);
    CHECK(file.get_string_or("other", "z") == "z");
  }
}

TEST_CASE("gguf: a value of another type is an error that names the file and the key") {
  const TempDir dir;
  GgufBuilder b;
  b.u32("n", 1).f32("x", 1).raw("negative", 5, le(int32_t{-3})).string("s", "t");
  b.array("u64s", 10, 1, le(~uint64_t{0})).strings("strings", {"a"});
  const GgufFile file = open_bytes(dir, b.build());
  const std::string name = (dir / "a.gguf").string();
  const auto check = [&](const auto& result, const std::string& part) {
    REQUIRE_FALSE(result);
    INFO(result.error().message);
    CHECK(result.error().code == Errc::kContent);
    CHECK(result.error().message.starts_with(name + ": "));
    CHECK(result.error().message.find(part) != std::string::npos);
  };
  check(file.get_uint("x"), "key 'x': wrong type (got f32, allowed an integer)");
  check(file.get_uint("negative"), "key 'negative': is negative (got -3, allowed 0 or more)");
  check(file.get_uint("absent"), "key 'absent' is missing");
  check(file.get_float("n"), "key 'n': wrong type (got u32, allowed f32 or f64)");
  check(file.get_bool("n"), "allowed bool");
  check(file.get_string("n"), "allowed string");
  check(file.get_strings("s"), "key 's': wrong type (got string, allowed array)");
  check(file.get_strings("u64s"), "wrong element type (got u64, allowed string)");
  check(file.get_ints("strings"), "wrong element type (got string, allowed an integer)");
  check(file.get_ints("u64s"), "element 0 is too large (got 18446744073709551615");
  check(file.get_floats("u64s"), "wrong element type (got u64, allowed f32 or f64)");
  check(file.get_uint_or("x", 1), "key 'x': wrong type");
}

TEST_CASE("gguf: arrays of arrays stand in entries") {
  const TempDir dir;
  const std::string inner = le(uint32_t{5}) + le(uint64_t{2}) + le(int32_t{1}) + le(int32_t{2});
  const std::string text = le(uint32_t{8}) + le(uint64_t{1}) + gguf_string("abc");
  GgufBuilder b;
  b.array("nested", 9, 2, inner + text).u32("after", 7);
  const GgufFile file = open_bytes(dir, b.build());
  REQUIRE(file.entries().size() == 2);
  const GgufFile::Entry& entry = file.entries()[0];
  CHECK(entry.type == GgufType::kArray);
  CHECK(entry.element_type == GgufType::kArray);
  CHECK(entry.count == 2);
  CHECK(std::string(reinterpret_cast<const char*>(entry.encoded.data()), entry.encoded.size()) ==
        inner + text);
  CHECK(file.get_uint("after") == 7);
}

TEST_CASE("gguf: tensors are views into the file, row length last") {
  const TempDir dir;
  const std::string data = le(1.0f) + le(2.0f) + le(3.0f) + le(4.0f) + le(5.0f) + le(6.0f);
  for (const uint32_t alignment : {8U, 32U, 4096U}) {
    GgufBuilder b;
    b.alignment = alignment;
    b.u32("general.alignment", alignment);
    b.tensor("w", {3, 2}, 0, data).tensor("q", {256, 1, 2}, 12, std::string(288, 'q'));
    const GgufFile file = open_bytes(dir, b.build());
    REQUIRE(file.tensors().size() == 2);
    const GgufTensor* w = file.find_tensor("w");
    REQUIRE(w != nullptr);
    CHECK(w->desc == TensorDesc{DType::kF32, Shape{2, 3}});
    CHECK(std::memcmp(w->data.data(), data.data(), data.size()) == 0);
    const GgufTensor* q = file.find_tensor("q");
    REQUIRE(q != nullptr);
    CHECK(q->desc == TensorDesc{DType::kQ4_K, Shape{2, 1, 256}});
    CHECK(q->data.size() == 288);
    CHECK(q->data[287] == std::byte{'q'});
    CHECK(file.find_tensor("x") == nullptr);
    CHECK(file.file_bytes() == b.build().size());
  }
}

TEST_CASE("gguf: a file that is not in memory is read from its beginning to its end") {
  const TempDir dir;
  GgufBuilder b;
  b.tensor("w", {1 << 20, 5}, 0, std::string(20 << 20, 'w'));
  const GgufFile file = open_bytes(dir, b.build());
  const int fd = ::open((dir / "a.gguf").c_str(), O_RDONLY);
  REQUIRE(fd >= 0);
  fsync(fd);
  posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  ::close(fd);
  std::vector<uint64_t> told;
  REQUIRE(file.page_in([&](uint64_t done) { told.push_back(done); }));
  if (told.empty()) {
    MESSAGE("SKIPPED: the file stayed in memory, or there is too little memory for it");
    return;
  }
  CHECK(told.size() > 1);
  CHECK(std::is_sorted(told.begin(), told.end()));
  CHECK(told.back() == file.file_bytes());
  CHECK(file.find_tensor("w")->data.back() == std::byte{'w'});
}

TEST_CASE("gguf: the real vocabulary") {
  const auto path = shared_path_or_skip("data/deepseek-vocab.gguf");
  if (path.empty()) return;
  const auto file = GgufFile::open(path);
  if (!file) FAIL(file.error().message);
  CHECK(file->tensors().empty());
  CHECK(file->get_string("tokenizer.ggml.pre") == "deepseek-llm");
  CHECK(file->get_strings("tokenizer.ggml.tokens")->size() == 102400);
  CHECK(file->get_ints("tokenizer.ggml.token_type")->size() == 102400);
  CHECK(file->get_strings("tokenizer.ggml.merges")->size() == 99757);
}
