// `minke quantize` from outside: what it prints, what it leaves, and how it ends.
#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "runtime/gguf_reader.h"
#include "tests/apps/app_model.h"
#include "tests/apps/run_minke.h"
#include "tests/support.h"

using namespace minke;
using namespace minke::test;
namespace fs = std::filesystem;

namespace {

RunResult run_quantize(const std::vector<std::string>& arguments) {
  std::vector<std::string> all = {"quantize"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  return run_minke(all);
}

/// tests/data/tiny-236b as a file of `dir`.
std::string tiny_file(const TempDir& dir, const std::string& type) {
  const std::string path = dir / (type + ".gguf");
  const RunResult made = run_minke({"convert", data_path("tiny-236b"), "-o", path, "--type", type});
  REQUIRE_MESSAGE(made.exit_code == 0, made.err);
  return path;
}

}  // namespace

TEST_CASE("quantize writes a file that answers as one that convert wrote") {
  const TempDir dir;
  const std::string from = tiny_file(dir, "F32"), expected = tiny_file(dir, "Q8_0");
  const std::string to = dir / "a.gguf";
  const RunResult result = run_quantize({from, "-o", to, "--type", "q8_0", "-t", "2"});
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  CHECK(result.out.empty());
  CHECK(result.err.find("wrote " + to) != std::string::npos);
  const auto a = GgufFile::open(to), b = GgufFile::open(expected);
  REQUIRE(a);
  REQUIRE(a->tensors().size() == b->tensors().size());
  for (const GgufTensor& tensor : a->tensors()) {
    const GgufTensor* other = b->find_tensor(tensor.name);
    REQUIRE(other != nullptr);
    CHECK(std::ranges::equal(tensor.data, other->data));
  }
  const RunResult info = run_minke({"info", to});
  CHECK(info.exit_code == 0);

  check_refused(run_quantize({from, "-o", to, "--type", "F16"}), 1, "already there");
  check_refused(run_quantize({to, "-o", dir / "b.gguf", "--type", "Q4_0"}), 1,
                "--allow-requantize");
  CHECK(
      run_quantize({to, "-o", dir / "b.gguf", "--type", "Q4_0", "--allow-requantize"}).exit_code ==
      0);
  // What is read is never replaced, whatever the name that leads to it.
  fs::create_hard_link(to, dir / "same.gguf");
  write_file(dir / "i.gguf", "x");
  for (const char* name : {"a.gguf", "same.gguf", "i.gguf"})
    check_refused(run_quantize({to, "-o", dir / name, "--type", "copy", "--force", "--imatrix",
                                dir / "i.gguf"}),
                  1, "is what is read");
  // Nor by what is written on the way.
  for (const char* end : {".partial", ".partial.journal"}) {
    const std::string out = dir / "way.gguf", input = out + end;
    fs::copy_file(to, input);
    check_refused(run_quantize({input, "-o", out, "--type", "copy", "--force"}), 1,
                  input + ": is what is read");
    CHECK(read_file(input) == read_file(to));
    fs::remove(input);
  }
  fs::create_symlink(dir / "none", dir / "link.gguf");
  for (const char* force : {"--pure", "--force"})
    check_refused(run_quantize({from, "-o", dir / "link.gguf", "--type", "Q4_0", force}), 1,
                  "is a symbolic link");
  check_refused(run_quantize({from, "-o", dir / "c.gguf", "--type", "Q4_0", "--imatrix", ""}), 1,
                "--imatrix: the value is empty");
}

TEST_CASE("quantize --dry-run shows each tensor and writes nothing") {
  const TempDir dir;
  const std::string from = tiny_file(dir, "F32");
  const RunResult result = run_quantize({from, "--type", "Q4_K_M", "--dry-run"});
  CHECK(result.exit_code == 0);
  CHECK(result.err.empty());
  CHECK(result.out.find("blk.1.ffn_down_exps.weight") != std::string::npos);
  CHECK(std::distance(fs::directory_iterator(dir.path()), {}) == 1);
}

TEST_CASE("quantize ends with one line and the right code when it cannot work") {
  const TempDir dir;
  const std::string good = tiny_file(dir, "F32"), to = dir / "a.gguf";
  check_refused(run_quantize({}), 1, "no model");
  check_refused(run_quantize({good, "-o", to}), 1, "COPY");
  check_refused(run_quantize({good, "-o", to, "--type", "Q9"}), 1, "Q4_K_M");
  check_refused(run_quantize({good, "--type", "F16"}), 1, "no output");
  check_refused(run_quantize({dir / "none.gguf", "-o", to, "--type", "F16"}), 66, "none.gguf");
  write_file(dir / "bad.gguf", "GGUX");
  check_refused(run_quantize({dir / "bad.gguf", "-o", to, "--type", "F16"}), 65, "bad.gguf");
  CHECK_FALSE(fs::exists(to));
}

TEST_CASE("what a conversion that was cut off left is not thrown away without --force") {
  const TempDir dir;
  const std::string model = tiny_model_file(), out = dir / "o.gguf", text = dir / "text";
  const std::string partial = out + ".partial", journal = partial + ".journal";
  std::string words;
  for (int i = 0; i < 60; ++i) words += "Sort: kite, cup " + std::to_string(i) + ".\n";
  write_file(text, words);
  write_file(partial, "weights");
  write_file(journal, "lines");
  const std::vector<std::vector<std::string>> commands = {
      {"quantize", model, "-o", out, "--type", "copy"},
      {"imatrix", "-m", model, "-f", text, "-c", "64", "-o", out},
      {"perplexity", "-m", model, "-f", text, "-c", "64", "--save-logits", out}};
  for (const auto& command : commands)
    check_refused(run_minke(command), 1, "o.gguf.partial: of a conversion to this file");
  const RunResult chat = run_minke({"chat", "-m", model}, {}, "/save " + out + "\n");
  CHECK(chat.err.find("o.gguf.partial: of a conversion to this file") != std::string::npos);
  CHECK(read_file(partial) == "weights");
  CHECK(read_file(journal) == "lines");

  for (const size_t forced : {size_t{1}, size_t{0}}) {
    std::vector<std::string> command = commands[forced];
    command.emplace_back("--force");
    write_file(partial, "weights");
    write_file(journal, "lines");
    CHECK(run_minke(command).exit_code == 0);
    CHECK_FALSE(std::filesystem::exists(partial));
    CHECK_FALSE(std::filesystem::exists(journal));
  }
}

TEST_CASE("quantize refuses a file whose data changed, unless it is told to ignore that") {
  const TempDir dir;
  const std::string file = tiny_file(dir, "F16"), out = dir / "o.gguf";
  const uint64_t offset = GgufFile::open(file)->find_tensor("output.weight")->offset;
  std::string bytes = read_file(file);
  bytes[offset] = static_cast<char>(bytes[offset] ^ 1);
  write_file(file, bytes);
  const RunResult refused = run_quantize({file, "-o", out, "--type", "Q8_0"});
  CHECK(refused.exit_code == 65);
  CHECK(refused.err.find(file + ": tensor 'output.weight': its data changed") != std::string::npos);
  CHECK(refused.err.find("--ignore-hashes") != std::string::npos);
  CHECK_FALSE(fs::exists(out));
  CHECK(run_quantize({file, "-o", out, "--type", "Q8_0", "--ignore-hashes"}).exit_code == 0);
  CHECK(run_minke({"verify", out}).exit_code == 0);
}
