// Files from strangers: every malformed one is refused with one line that names the file, the
// place, what was got and what is allowed.
#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <vector>

#include "runtime/gguf_reader.h"
#include "tests/gguf_builder.h"
#include "tests/support.h"

using namespace minke;
using namespace minke::test;

namespace {

constexpr uint64_t kHuge = ~uint64_t{0};

struct BadFile {
  std::string name;  // what is wrong
  std::string bytes;
  std::string place;   // "key 'x'", "tensor 'x'", "header"
  std::string reason;  // a part of the message
  Errc code = Errc::kContent;
};

/// The bytes of small_gguf() with one thing spoilt.
GgufBuilder changed(const std::function<void(GgufBuilder&)>& change) {
  GgufBuilder b = small_gguf();
  change(b);
  return b;
}

std::string bytes_with(const std::function<void(GgufBuilder&)>& change) {
  return changed(change).build();
}

/// Bytes of the good file with some replaced.
std::string patched(size_t at, const std::string& bytes) {
  return small_gguf().build().replace(at, bytes.size(), bytes);
}

std::vector<BadFile> bad_headers() {
  std::vector<BadFile> cases = {
      {"one byte", "G", "header", "not a GGUF file (got 'G'"},
      {"magic only", "GGUF", "header", "the file ends inside the version (got 0 bytes, needs 4)"},
      {"another magic", patched(0, "GGML"), "header", "not a GGUF file (got 'GGML'"},
      {"magic swapped", patched(0, "FUGG"), "header", "byte-swapped"},
      {"older format", patched(0, "tjgg"), "header", "an older GGML format"},
      {"web page", "<!DOCTYPE html><html>", "header", "a web page"},
      {"LFS pointer", "version https://git-lfs.github.com/spec/v1\n", "header", "Git LFS pointer"},
      {"control characters", "\x1b[2J\n\n\n\n", "header", "got '\\x1b[2J'"},
      {"version 0", patched(4, le(0U)), "header", "version of GGUF (got 0, allowed 2 or 3)"},
      {"version 1", patched(4, le(1U)), "header", "(got 1, allowed 2 or 3)"},
      {"version 4", patched(4, le(4U)), "header", "(got 4, allowed 2 or 3)"},
      {"big-endian", patched(4, le(0x03000000U)), "header", "a big-endian file"},
      {"no counts", small_gguf().build().substr(0, 8), "header", "the file ends inside"},
      {"half a count", "GGUF" + le(3U) + le(uint64_t{0}) + "1234", "header",
       "the file ends inside the number of keys (got 4 bytes, needs 8)"},
      {"header alone", small_gguf().build().substr(0, 24), "header",
       "the number of tensors is more than"},
  };
  for (const uint64_t n : {kHuge, uint64_t{1} << 63, uint64_t{1} << 32, uint64_t{1000}}) {
    cases.push_back({"tensors " + std::to_string(n), patched(8, le(n)), "header",
                     "the number of tensors is more than the rest of the file can hold"});
    cases.push_back({"keys " + std::to_string(n), patched(16, le(n)), "header",
                     "the number of keys is more than the rest of the file can hold"});
  }
  return cases;
}

std::vector<BadFile> bad_keys() {
  const auto entry = [](const std::string& bytes) {
    return bytes_with([&](GgufBuilder& b) { b.entry(bytes); });
  };
  const std::string u32_value = le(4U) + le(7U);
  // Whatever follows the good keys is read as an entry, so the tensors' bytes are "the rest".
  return {
      {"empty key", entry(le(uint64_t{0}) + u32_value), "key number 3", "(got 0, allowed 1 to 255"},
      {"long key", entry(gguf_string(std::string(256, 'k')) + u32_value), "key number 3",
       "(got 256, allowed 1 to 255"},
      {"endless key", entry(le(kHuge) + "k" + u32_value), "key number 3", "bad length of the name"},
      {"key with NUL", entry(gguf_string(std::string("a\0b", 3)) + u32_value), "key number 3",
       "'a\\x00b' holds a NUL"},
      {"key not UTF-8", entry(gguf_string("a\xff") + u32_value), "key number 3",
       "'a\\xff' is not valid UTF-8"},
      {"key overlong UTF-8", entry(gguf_string("\xc0\x80") + u32_value), "key number 3",
       "is not valid UTF-8"},
      {"key surrogate", entry(gguf_string("\xed\xa0\x80") + u32_value), "key number 3",
       "is not valid UTF-8"},
      {"key twice", bytes_with([](GgufBuilder& b) { b.u32("n", 4); }), "key 'n'", "a second key"},
      {"unknown type", bytes_with([](GgufBuilder& b) { b.raw("x", 13, le(0U)); }), "key 'x'",
       "unknown type of value (got 13, allowed 0 to 12)"},
      {"huge type", bytes_with([](GgufBuilder& b) { b.raw("x", ~0U, le(0U)); }), "key 'x'",
       "(got 4294967295, allowed 0 to 12)"},
      {"bool 2", bytes_with([](GgufBuilder& b) { b.raw("x", 7, "\x02"); }), "key 'x'",
       "bad value of a bool (got 2, allowed 0 or 1)"},
      {"bool in an array",
       bytes_with([](GgufBuilder& b) { b.array("x", 7, 3, std::string("\x00\x01\x09", 3)); }),
       "key 'x'", "bad value of a bool (got 9"},
      {"endless string", bytes_with([](GgufBuilder& b) { b.raw("x", 8, le(kHuge)); }), "key 'x'",
       "a string is longer than the rest of the file, which may be cut off (got 184467"},
      {"long string", bytes_with([](GgufBuilder& b) { b.raw("x", 8, le(uint64_t{5000})); }),
       "key 'x'", "(got 5000 bytes, allowed"},
      {"key ends the file",
       "GGUF" + le(3U) + le(uint64_t{0}) + le(uint64_t{1}) + gguf_string("abcdef") + le(4U) + "xyz",
       "key 'abcdef'", "the file ends inside the value (got 3 bytes, needs 4)"},
      {"general.alignment a string",
       bytes_with([](GgufBuilder& b) { b.string("general.alignment", "32"); }),
       "key 'general.alignment'", "bad type (got string, allowed u32)"},
  };
}

std::vector<BadFile> bad_arrays() {
  std::vector<BadFile> cases = {
      {"endless array", bytes_with([](GgufBuilder& b) { b.array("x", 4, kHuge, ""); }), "key 'x'",
       "the number of elements is more than"},
      {"array times size wraps",
       bytes_with([](GgufBuilder& b) { b.array("x", 10, uint64_t{1} << 61, ""); }), "key 'x'",
       "the number of elements is more than"},
      {"endless bytes", bytes_with([](GgufBuilder& b) { b.array("x", 0, uint64_t{1} << 40, ""); }),
       "key 'x'", "the number of elements is more than"},
      {"endless strings",
       bytes_with([](GgufBuilder& b) { b.array("x", 8, uint64_t{1} << 40, ""); }), "key 'x'",
       "the number of elements is more than"},
      {"unknown element", bytes_with([](GgufBuilder& b) { b.array("x", 99, 1, "a"); }), "key 'x'",
       "unknown element type of an array (got 99, allowed 0 to 12)"},
      {"a string too long inside",
       bytes_with([](GgufBuilder& b) { b.array("x", 8, 1, le(uint64_t{1} << 50)); }), "key 'x'",
       "a string is longer"},
      {"nested endless", bytes_with([](GgufBuilder& b) { b.array("x", 9, 1, le(4U) + le(kHuge)); }),
       "key 'x'", "the number of elements is more than"},
      {"nested unknown",
       bytes_with([](GgufBuilder& b) { b.array("x", 9, 1, le(77U) + le(uint64_t{1})); }), "key 'x'",
       "unknown element type of an array (got 77"},
  };
  std::string deep;
  for (int i = 0; i < 100000; ++i) deep += le(9U) + le(uint64_t{1});
  cases.push_back({"nested too deep", bytes_with([&](GgufBuilder& b) { b.array("x", 9, 1, deep); }),
                   "key 'x'", "arrays nested too deep (got 9, allowed 8)"});
  for (const uint32_t alignment : {0U, 1U, 4U, 33U, 48U, 131072U, 1U << 31}) {
    cases.push_back(
        {"alignment " + std::to_string(alignment),
         bytes_with([&](GgufBuilder& b) { b.u32("general.alignment", alignment); }),
         "key 'general.alignment'",
         "(got " + std::to_string(alignment) + ", allowed a power of two from 8 to 65536)"});
  }
  return cases;
}

std::vector<BadFile> bad_tensors() {
  using Dims = std::vector<uint64_t>;
  const auto tensor = [](const Dims& dims, uint32_t type) {
    return bytes_with([&](GgufBuilder& b) { b.tensor("x", dims, type, std::string(64, '\0')); });
  };
  const auto info = [](const std::string& bytes) {
    return bytes_with([&](GgufBuilder& b) { b.tensor_info(bytes); });
  };
  const std::string shape = le(1U) + le(uint64_t{8});
  const std::string rest = shape + le(0U) + le(uint64_t{64});
  const uint64_t big = uint64_t{1} << 32;
  return {
      {"empty name", info(le(uint64_t{0}) + rest), "tensor number 2", "(got 0, allowed 1 to 255"},
      {"long name", info(gguf_string(std::string(300, 't')) + rest), "tensor number 2",
       "(got 300, allowed 1 to 255"},
      {"name with NUL", info(gguf_string(std::string("x\0", 2)) + rest), "tensor number 2",
       "holds a NUL"},
      {"name not UTF-8", info(gguf_string("\x80") + rest), "tensor number 2", "not valid UTF-8"},
      {"name twice", bytes_with([](GgufBuilder& b) { b.zeros("w", {8}); }), "tensor 'w'",
       "a second tensor of this name"},
      {"no dimensions", tensor({}, 0), "tensor 'x'",
       "number of dimensions (got 0, allowed 1 to 4)"},
      {"five dimensions", tensor({1, 1, 1, 1, 1}, 0), "tensor 'x'", "(got 5, allowed 1 to 4)"},
      {"many dimensions", info(gguf_string("x") + le(~0U) + rest), "tensor 'x'",
       "(got 4294967295, allowed 1 to 4)"},
      {"zero dimension", tensor({8, 0}, 0), "tensor 'x'", "dimension 1 is zero"},
      {"dimension of 2^64-1", tensor({kHuge}, 0), "tensor 'x'", "too large to count"},
      {"product wraps to 0", tensor({big, big}, 0), "tensor 'x'", "dimension 1 makes the tensor"},
      {"product wraps to small", tensor({big + 1, big}, 0), "tensor 'x'", "too large to count"},
      {"product of four wraps", tensor({1U << 16, 1U << 16, 1U << 16, 1U << 16}, 0), "tensor 'x'",
       "dimension 3 makes the tensor"},
      {"bytes wrap", tensor({uint64_t{1} << 62}, 0), "tensor 'x'",
       "too large to count (got 461168"},
      {"row not whole blocks", tensor({33}, 8), "tensor 'x'",
       "not whole blocks of Q8_0 (got 33, allowed a multiple of 32)"},
      {"row not whole superblocks", tensor({1408, 2}, 12), "tensor 'x'",
       "whole blocks of Q4_K (got 1408, allowed a multiple of 256)"},
      {"removed type 4", tensor({32}, 4), "tensor 'x'",
       "removed from GGUF (got Q4_2 4, allowed F32"},
      {"removed type 5", tensor({32}, 5), "tensor 'x'", "removed from GGUF (got Q4_3 5"},
      {"removed type 31", tensor({32}, 31), "tensor 'x'", "removed from GGUF (got Q4_0_4_4 31"},
      {"unknown type 40", tensor({32}, 40), "tensor 'x'", "unknown type (got 40, allowed F32 0"},
      {"unknown type 2^32-1", tensor({32}, ~0U), "tensor 'x'", "unknown type (got 4294967295"},
      {"TQ1_0", tensor({256}, 34), "tensor 'x'", "(got TQ1_0 34", Errc::kUnsupported},
      {"Q8_K", tensor({256}, 15), "tensor 'x'", "(got Q8_K 15", Errc::kUnsupported},
      {"I32", tensor({32}, 26), "tensor 'x'", "(got I32 26", Errc::kUnsupported},
      {"info cut off",
       "GGUF" + le(3U) + le(uint64_t{1}) + le(uint64_t{0}) + gguf_string("tensorname") + shape +
           le(0U) + "1234567",
       "tensor 'tensorname'", "the file ends inside the offset (got 7 bytes, needs 8)"},
  };
}

std::vector<BadFile> bad_places() {
  const std::string zeros(64, '\0');
  const auto at = [&](uint64_t offset) {
    return bytes_with([&](GgufBuilder& b) { b.tensor_at("x", {16}, 0, offset, zeros); });
  };
  return {
      {"offset not aligned", at(65), "tensor 'x'",
       "not aligned (got 65, allowed a multiple of 32)"},
      {"offset near 2^64", at(kHuge - 31), "tensor 'x'", "beyond the end of the file"},
      {"offset beyond", at(1 << 20), "tensor 'x'", "(got 64 bytes at 1048576 of the data"},
      {"end beyond", at(96), "tensor 'x'", "beyond the end of the file"},
      {"overlap", at(32), "tensor 'x'",
       "its data overlaps that of 'v' (got offset 32, allowed 64)"},
      {"same place", at(0), "tensor 'x'", "its data overlaps that of 'w' (got offset 0"},
      {"hole at the start", bytes_with([&](GgufBuilder& b) {
         b = GgufBuilder();
         b.tensor_at("x", {16}, 0, 32, zeros + zeros);
       }),
       "tensor 'x'", "leaves a hole after 'the start of the data' (got offset 32, allowed 0)"},
      {"hole between",
       bytes_with([&](GgufBuilder& b) { b.tensor_at("x", {16}, 0, 96, zeros + zeros); }),
       "tensor 'x'", "leaves a hole after 'v' (got offset 96, allowed 64)"},
      {"no data", bytes_with([](GgufBuilder& b) {
         b = GgufBuilder();
         b.tensor_at("x", {8}, 0, 0, "");
       }),
       "tensor 'x'", "beyond the end of the file"},
      {"bytes after the data", bytes_with([](GgufBuilder& b) { b.trailer = std::string(40, 'x'); }),
       "data", "goes on after the last tensor (got 104 bytes of data, allowed 64)"},
      {"bytes after the metadata", bytes_with([](GgufBuilder& b) {
         b = GgufBuilder();
         b.trailer = std::string(4096, 'x');
       }),
       "data", "goes on after the last tensor"},
      {"fewer tensors than there are", bytes_with([](GgufBuilder& b) { b.n_tensors = 1; }), "data",
       "goes on after the last tensor"},
      {"fewer keys than there are", bytes_with([](GgufBuilder& b) { b.n_keys = 2; }),
       "tensor 'words'", "number of dimensions"},
      {"more keys than there are", bytes_with([](GgufBuilder& b) { b.n_keys = 4; }),
       "tensor number 0", "bad length of the name"},
  };
}

void check_refused(const TempDir& dir, const BadFile& bad) {
  const auto path = dir / "bad.gguf";
  write_file(path, bad.bytes);
  const auto file = GgufFile::open(path);
  INFO(bad.name);
  REQUIRE_FALSE(file);
  const std::string& message = file.error().message;
  INFO(message);
  CHECK(file.error().code == bad.code);
  CHECK(message.starts_with(path.string() + ": offset 0x"));
  CHECK(message.find(": " + bad.place + ": ") != std::string::npos);
  CHECK(message.find(bad.reason) != std::string::npos);
  CHECK(message.find('\n') == std::string::npos);
  CHECK(message.size() < 1000);
}

}  // namespace

TEST_CASE("gguf: malformed files are refused with the place and the reason") {
  const TempDir dir;
  size_t n = 0;
  REQUIRE([&] {
    write_file(dir / "good.gguf", small_gguf().build());
    return GgufFile::open(dir / "good.gguf").has_value();
  }());
  for (const auto& list : {bad_headers(), bad_keys(), bad_arrays(), bad_tensors(), bad_places()}) {
    for (const BadFile& bad : list) check_refused(dir, bad);
    n += list.size();
  }
  CHECK(n >= 60);
}
