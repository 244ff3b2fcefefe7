// `minke verify` from outside.
#include <doctest/doctest.h>

#include <string>

#include "runtime/gguf_reader.h"
#include "tests/apps/run_minke.h"
#include "tests/support.h"

using namespace minke;
using namespace minke::test;

TEST_CASE("verify says that a file is good, or which tensor is not") {
  const TempDir dir;
  const std::string path = dir / "m.gguf";
  REQUIRE(run_minke({"convert", data_path("tiny-lite"), "-o", path, "--type", "Q8_0"}).exit_code ==
          0);
  const RunResult good = run_minke({"verify", path});
  INFO(good.err);
  CHECK(good.exit_code == 0);
  CHECK(good.out.find("data as it was written") != std::string::npos);

  uint64_t offset = 0;
  {
    const auto file = GgufFile::open(path);
    offset = file->find_tensor("blk.1.ffn_up_exps.weight")->offset;
  }
  std::string bytes = read_file(path);
  bytes[offset + 5] = static_cast<char>(bytes[offset + 5] ^ 4);
  write_file(path, bytes);
  const RunResult bad = run_minke({"verify", path});
  CHECK(bad.exit_code == 65);
  CHECK(bad.out.empty());
  CHECK(bad.err.find("'blk.1.ffn_up_exps.weight': its data changed") != std::string::npos);
  CHECK(bad.err.find('\n') == bad.err.size() - 1);
  CHECK(run_minke({"verify", dir / "none.gguf"}).exit_code == 66);
  // What cannot be run is not good.
  const std::string key = "tokenizer.ggml.merges";
  bytes.replace(bytes.find(key), key.size(), "tokenizer.ggml.others");
  write_file(path, bytes);
  const RunResult no_merges = run_minke({"verify", path});
  CHECK(no_merges.exit_code == 65);
  CHECK(no_merges.err.find(key) != std::string::npos);
  CHECK(run_minke({"verify"}).exit_code == 1);
}

TEST_CASE("verify: hashes of the file that another one was made from are not compared") {
  const TempDir dir;
  const std::string path = dir / "m.gguf", other = dir / "o.gguf";
  REQUIRE(run_minke({"convert", data_path("tiny-lite"), "-o", path, "--type", "F16"}).exit_code ==
          0);
  // Minke itself writes its own.
  REQUIRE(run_minke({"quantize", path, "-o", other, "--type", "Q8_0"}).exit_code == 0);
  CHECK(run_minke({"verify", other}).out.find("data as it was written") != std::string::npos);

  // A digest of other types, and data that no longer has its hash.
  const std::string key = "minke.tensor_layout_sha256";
  std::string bytes = read_file(path);
  char& digit = bytes[bytes.find(key) + key.size() + sizeof(uint32_t) + sizeof(uint64_t)];
  digit = digit == '0' ? '1' : '0';
  const uint64_t offset = GgufFile::open(path)->find_tensor("output.weight")->offset;
  bytes[offset] = static_cast<char>(bytes[offset] ^ 1);
  write_file(path, bytes);
  const RunResult result = run_minke({"verify", path});
  CHECK(result.exit_code == 0);
  CHECK(result.out.find("its hashes are of the file that another program made it from") !=
        std::string::npos);
}
