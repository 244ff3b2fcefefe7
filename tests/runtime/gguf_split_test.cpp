#include "runtime/gguf_split.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <functional>
#include <string>

#include "tests/gguf_builder.h"
#include "tests/support.h"

using namespace minke;
using namespace minke::test;

namespace {

std::string part_name(int i) { return fmt::format("model-{:05}-of-00003.gguf", i + 1); }

/// Part i of three: part 0 has the metadata and no tensor, the others a tensor each.
GgufBuilder part(int i) {
  GgufBuilder b;
  b.raw("split.no", 2, le(static_cast<uint16_t>(i))).raw("split.count", 2, le(uint16_t{3}));
  b.raw("split.tensors.count", 5, le(int32_t{2}));
  if (i == 0) b.string("general.name", "whole");
  if (i > 0) b.tensor(fmt::format("t{}", i), {8}, 0, std::string(32, static_cast<char>('0' + i)));
  return b;
}

void write_parts(const TempDir& dir) {
  for (int i = 0; i < 3; ++i) write_file(dir / part_name(i), part(i).build());
}

}  // namespace

TEST_CASE("split gguf: any part's name opens the whole") {
  const TempDir dir;
  write_parts(dir);
  for (int i = 0; i < 3; ++i) {
    const auto file = GgufFile::open(dir / part_name(i));
    if (!file) FAIL(file.error().message);
    CHECK(file->get_string("general.name") == "whole");
    REQUIRE(file->tensors().size() == 2);
    CHECK(file->find_tensor("t1")->part == 1);
    CHECK(file->find_tensor("t2")->part == 2);
    CHECK(file->find_tensor("t1")->data[0] == std::byte{'1'});
    CHECK(file->find_tensor("t2")->data[31] == std::byte{'2'});
    CHECK(file->file_bytes() ==
          part(0).build().size() + part(1).build().size() + part(2).build().size());
  }
}

TEST_CASE("split gguf: a set that is not whole is refused") {
  const TempDir dir;
  const auto refused = [&](const std::string& opened, Errc code, const std::string& part_of_text) {
    const auto file = GgufFile::open(dir / opened);
    REQUIRE_FALSE(file);
    INFO(file.error().message);
    CHECK(file.error().code == code);
    CHECK(file.error().message.find(part_of_text) != std::string::npos);
    CHECK(file.error().message.find('\n') == std::string::npos);
  };
  write_parts(dir);
  std::filesystem::remove(dir / part_name(1));
  refused(part_name(0), Errc::kMissing, part_name(1) + ": no such file");

  write_file(dir / part_name(1), part(2).build());
  refused(part_name(0), Errc::kContent,
          "key 'split.no': does not fit the file's name (got 2, allowed 1)");

  write_file(dir / part_name(1), GgufBuilder(part(1)).without("split.count").build());
  refused(part_name(0), Errc::kContent, "key 'split.count': does not fit");

  write_file(dir / part_name(1), part(1).zeros("t2", {8}).build());
  refused(part_name(0), Errc::kContent, "split.tensors.count': is not the number of tensors");

  GgufBuilder same_name = part(1);
  write_file(dir / part_name(2),
             part(1).without("split.no").raw("split.no", 2, le(uint16_t{2})).build());
  write_file(dir / part_name(1), same_name.build());
  refused(part_name(0), Errc::kContent, "tensor 't1': another part of the split file has it too");

  write_parts(dir);
  write_file(dir / "renamed.gguf", part(1).build());
  refused("renamed.gguf", Errc::kContent, "must keep its name to find the others");
  write_file(dir / "model-00004-of-00003.gguf", part(1).build());
  refused("model-00004-of-00003.gguf", Errc::kContent, "must keep its name");

  write_file(dir / part_name(1),
             part(1).without("split.no").raw("split.no", 5, le(int32_t{-1})).build());
  refused(part_name(0), Errc::kContent, "key 'split.no': out of range (got -1");
  write_file(dir / part_name(1), part(1).build().substr(0, 100));
  refused(part_name(0), Errc::kContent, part_name(1) + ": offset 0x");
}

TEST_CASE("split gguf: a file that says it is one of one is a plain file") {
  const TempDir dir;
  GgufBuilder b;
  b.raw("split.no", 2, le(uint16_t{0})).raw("split.count", 2, le(uint16_t{1})).zeros("w", {8});
  write_file(dir / "any-name.gguf", b.build());
  CHECK(GgufFile::open(dir / "any-name.gguf").has_value());
}
