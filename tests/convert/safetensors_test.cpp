#include "convert/safetensors.h"

#include <doctest/doctest.h>

#include "tests/convert/checkpoint_builder.h"
#include "tests/support.h"

using namespace minke;
using namespace minke::convert;
using minke::test::safetensors_file;

namespace {

std::string with_length(uint64_t length, std::string_view rest) {
  std::string file(sizeof length, '\0');
  std::memcpy(file.data(), &length, sizeof length);
  return file.append(rest);
}

/// One F32 tensor "a" of two values with these fields in place of the right ones.
std::string one(std::string_view shape, std::string_view offsets, std::string_view dtype = "F32",
                size_t data_bytes = 8) {
  return safetensors_file(fmt::format(R"({{"a":{{"dtype":"{}","shape":{},"data_offsets":{}}}}})",
                                      dtype, shape, offsets),
                          std::string(data_bytes, '\1'));
}

/// Two tensors of four bytes with these offsets.
std::string two(std::string_view a, std::string_view b, size_t data_bytes = 8) {
  return safetensors_file(fmt::format(R"({{"a":{{"dtype":"F32","shape":[1],"data_offsets":{}}},)"
                                      R"("b":{{"dtype":"F32","shape":[1],"data_offsets":{}}}}})",
                                      a, b),
                          std::string(data_bytes, '\1'));
}

struct Case {
  const char* what;
  std::string file;
  const char* reason;  ///< Stands in the message.
};

std::vector<Case> bad_files() {
  const std::string field = R"({"dtype":"F32","shape":[1],"data_offsets":[0,4]})";
  return {
      {"shorter than 8 bytes", "abc", "too short"},
      {"empty", "", "too short"},
      {"header length 0", with_length(0, "{}"), "got 0"},
      {"header over 100 MB", with_length(100'000'001, "{}"), "100000001"},
      {"header 2^64-1", with_length(UINT64_MAX, "{}"), "18446744073709551615"},
      {"header beyond the file", with_length(3, "{}"), "longer than the file"},
      {"header not an object", safetensors_file("[1]"), "does not begin"},
      {"bad UTF-8", safetensors_file("{\"\xff\xfe\":1}"), "offset 0x"},
      {"bad JSON", safetensors_file("{\"a\":}"), "offset 0x"},
      {"JSON cut short", safetensors_file("{\"a\":{\"dtype\""), "offset 0x"},
      {"text after the JSON", safetensors_file("{}x"), "offset 0x"},
      {"JSON 100,000 deep", safetensors_file("{\"a\":" + std::string(100'000, '[')),
       "out of place"},
      {"objects 100,000 deep",
       [] {
         std::string text;
         for (int i = 0; i < 100'000; ++i) text += "{\"a\":";
         return safetensors_file(text);
       }(),
       "unknown field"},
      {"tensor twice", safetensors_file("{\"a\":" + field + ",\"a\":" + field + "}", "1234"), "a"},
      {"field twice",
       safetensors_file(R"({"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
                        "1234"),
       "twice"},
      {"metadata twice", safetensors_file(R"({"__metadata__":{},"__metadata__":{}})"), "twice"},
      {"metadata key twice", safetensors_file(R"({"__metadata__":{"x":"1","x":"2"}})"), "twice"},
      {"metadata value not a text", safetensors_file(R"({"__metadata__":{"x":1}})"),
       "out of place"},
      {"unknown dtype", one("[2]", "[0,8]", "F7"), "unknown dtype 'F7'"},
      {"unknown field",
       safetensors_file(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}})", "1234"),
       "unknown field"},
      {"field missing", safetensors_file(R"({"a":{"dtype":"F32","shape":[1]}})"), "missing"},
      {"negative dimension", one("[-2]", "[0,8]"), "negative"},
      {"dimension a float", one("[2.0]", "[0,8]"), "integer"},
      {"dimension 2^64", one("[18446744073709551616]", "[0,8]"), "integer"},
      {"dimension 2^63", one("[9223372036854775808]", "[0,8]"), "too large"},
      {"too many dimensions", one("[1,1,1,1,2]", "[0,8]"), "more than 4"},
      {"product of dimensions wraps to 2",
       one("[9223372036854775807,4611686018427387906]", "[0,8]"), "overflows"},
      {"product wraps to 0 bytes", one("[4294967296,4294967296]", "[0,0]", "F32", 0), "overflows"},
      {"begin after end", one("[2]", "[8,0]"), "backwards"},
      {"one offset", one("[2]", "[8]"), "less than two"},
      {"three offsets", one("[2]", "[0,8,8]"), "more than two"},
      {"overlap", two("[0,4]", "[2,6]", 6), "overlaps"},
      {"the same bytes twice", two("[0,4]", "[0,4]", 4), "overlaps"},
      {"hole", two("[0,4]", "[8,12]", 12), "hole"},
      {"hole at the start", one("[2]", "[4,12]", "F32", 12), "hole"},
      {"trailing bytes", one("[2]", "[0,8]", "F32", 9), "1 bytes after"},
      {"truncated data", one("[2]", "[0,8]", "F32", 7), "beyond the file"},
      {"size is not shape times dtype", one("[3]", "[0,8]"), "needs 12 bytes"},
      {"offsets beyond 2^63", one("[2]", "[18446744073709551608,18446744073709551615]"),
       "beyond the file"},
  };
}

}  // namespace

TEST_CASE("a well-formed safetensors file gives its tensors by name") {
  const test::TempDir dir;
  const std::string header =
      R"({"__metadata__":{"format":"pt"},"z":{"dtype":"F32","shape":[],"data_offsets":[0,4]},)"
      R"("b":{"data_offsets":[4,10],"dtype":"BF16","shape":[3,1]},)"
      R"("empty":{"dtype":"U8","shape":[0],"data_offsets":[10,10]}}   )";
  test::write_file(dir / "x.safetensors", safetensors_file(header, "abcdefghij"));
  const auto file = SafetensorsFile::open(dir / "x.safetensors");
  REQUIRE(file);
  REQUIRE(file->tensors().size() == 3);
  const SafeTensor& b = file->tensors()[0];
  CHECK(b.name == "b");
  CHECK(b.shape == Shape{3, 1});
  CHECK(b.type == SourceType::kBF16);
  std::string data(b.end - b.begin, '\0');
  REQUIRE(file->file().read_at(b.begin, std::as_writable_bytes(std::span(data))));
  CHECK(data == "efghij");
  CHECK(file->file().check_unchanged());
}

TEST_CASE("a malformed safetensors file is refused with its name and the reason") {
  const test::TempDir dir;
  const auto path = dir / "model.safetensors";
  for (const Case& c : bad_files()) {
    CAPTURE(c.what);
    test::write_file(path, c.file);
    const auto file = SafetensorsFile::open(path);
    REQUIRE_FALSE(file);
    CAPTURE(file.error().message);
    CHECK(file.error().code == Errc::kContent);
    CHECK(file.error().message.starts_with(path.string() + ": "));
    CHECK(file.error().message.find(c.reason) != std::string::npos);
    CHECK(file.error().message.size() < 400);
    CHECK(file.error().message.find('\n') == std::string::npos);
  }
}

TEST_CASE("names in messages cannot forge lines or terminal commands") {
  const test::TempDir dir;
  test::write_file(dir / "a.safetensors", safetensors_file(R"({"x\n\u001b[2J":{"z\n\u001b":1}})"));
  const auto file = SafetensorsFile::open(dir / "a.safetensors");
  REQUIRE_FALSE(file);
  CHECK(file.error().message.find('\n') == std::string::npos);
  CHECK(file.error().message.find('\x1b') == std::string::npos);
  CHECK(file.error().message.find("x\\x0a\\x1b[2J") != std::string::npos);
}

TEST_CASE("a safetensors file that is missing or a directory is refused") {
  const test::TempDir dir;
  CHECK(SafetensorsFile::open(dir / "none").error().code == Errc::kMissing);
  CHECK(SafetensorsFile::open(dir.path()).error().code == Errc::kIo);
}

TEST_CASE("a safetensors file that changes after it was opened is noticed") {
  const test::TempDir dir;
  const auto path = dir / "model.safetensors";
  test::write_file(path, one("[2]", "[0,8]"));
  const auto file = SafetensorsFile::open(path);
  REQUIRE(file);
  const SafeTensor& a = file->tensors()[0];
  std::filesystem::resize_file(path, a.begin + 4);
  std::byte data[8];
  CHECK(file->file().read_at(a.begin, data).error().code == Errc::kIo);
  CHECK(file->file().check_unchanged().error().code == Errc::kIo);
}
