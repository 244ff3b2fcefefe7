// `minke convert` from outside: what it prints, what it leaves, and how it ends.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <span>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "apps/convert_progress.h"
#include "backends/cpu/isa.h"
#include "convert/imatrix.h"
#include "runtime/gguf_reader.h"
#include "tests/apps/run_minke.h"
#include "tests/convert/checkpoint_builder.h"
#include "tests/support.h"

using namespace minke;
using namespace minke::test;
namespace fs = std::filesystem;

namespace {

RunResult run_convert(const std::vector<std::string>& arguments) {
  std::vector<std::string> all = {"convert"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  return run_minke(all);
}

}  // namespace

TEST_CASE("convert writes the file that --type names") {
  const TempDir dir;
  const std::string from = data_path("tiny-lite"), to = dir / "a.gguf";
  const RunResult result = run_convert({from, "-o", to, "--type", "q8_0", "-t", "2"});
  INFO(result.err);
  CHECK(result.exit_code == 0);
  CHECK(result.out.empty());
  CHECK(result.err.find("wrote " + to) != std::string::npos);
  CHECK(result.err.find('\r') == std::string::npos);
  const auto file = GgufFile::open(to);
  REQUIRE(file);
  CHECK(*file->get_uint("general.file_type") == 7);

  check_refused(run_convert({from, "-o", to, "--type", "F32"}), 1, "already there");
  CHECK(run_convert({from, "-o", to, "--type", "F32", "--force"}).exit_code == 0);
  CHECK(*GgufFile::open(to)->get_uint("general.file_type") == 0);
}

TEST_CASE("convert replaces nothing that it reads") {
  const TempDir dir;
  const fs::path from = dir / "checkpoint";
  fs::copy(data_path("tiny-lite"), from);
  const auto convert_to = [&](const char* name) {
    return run_convert({from, "-o", from / name, "--type", "F16", "--force"});
  };
  for (const char* name : {"config.json", "tokenizer.json", "model-00001-of-00002.safetensors"})
    check_refused(convert_to(name), 1, "is what is read");
  for (const char* name : {"old.gguf", "README.md"}) {
    write_file(from / name, "x");
    CHECK(convert_to(name).exit_code == 0);
  }
}

TEST_CASE("convert says that a checkpoint has no chat template") {
  const TempDir dir;
  const fs::path from = dir / "checkpoint";
  fs::copy(data_path("tiny-lite"), from);
  const auto warns = [&] {
    const RunResult result = run_convert({from, "-o", dir / "a.gguf", "--type", "F16", "--force"});
    CHECK(result.exit_code == 0);
    return result.err.find("no chat template") != std::string::npos;
  };
  CHECK_FALSE(warns());
  fs::remove(from / "tokenizer_config.json");
  CHECK(warns());
}

TEST_CASE("a standard error that cannot be written changes no exit code") {
  const auto run = [](const std::string& words) {
    return run_program({"sh", "-c", std::string(MINKE_BINARY) + " " + words}).exit_code;
  };
  CHECK(run("info /no/such/file 2>/dev/full") == 66);
  CHECK(run("info /no/such/file 2>&-") == 66);
  const TempDir dir;
  for (const char* errors : {"2>/dev/full", "2>&-"}) {
    const std::string to = dir / "a.gguf";
    CHECK(run("convert '" + data_path("tiny-lite").string() + "' -o '" + to +
              "' --type F16 --force " + errors) == 0);
    CHECK(run("verify '" + to + "' " + errors) == 0);
  }
}

TEST_CASE("convert writes the same bytes whatever the instruction set") {
  const TempDir dir;
  const auto converted = [&](const std::string& isa) {
    const std::string to = dir / (isa + ".gguf");
    const RunResult result = run_minke(
        {"convert", data_path("tiny-236b"), "-o", to, "--type", "Q4_K_M"}, {"MINKE_ISA=" + isa});
    CHECK_MESSAGE(result.exit_code == 0, result.err);
    return read_file(to);
  };
  std::istringstream names(cpu::available_isa_names());
  std::string name;
  names >> name;
  const auto expected = converted(name);
  CHECK(!expected.empty());
  while (names >> name) CHECK(converted(name) == expected);
  check_refused(
      run_minke({"convert", data_path("tiny-236b"), "-o", dir / "no.gguf", "--type", "F32"},
                {"MINKE_ISA=sse9"}),
      1, "MINKE_ISA: unknown instruction set 'sse9'");
}

TEST_CASE("convert --dry-run shows each tensor and writes nothing") {
  const TempDir dir;
  const RunResult result =
      run_convert({data_path("tiny-236b"), "--type", "Q4_K_M", "--dry-run", "-o", dir / "a.gguf"});
  CHECK(result.exit_code == 0);
  CHECK(result.err.empty());
  CHECK(result.out.find("blk.1.ffn_down_exps.weight") != std::string::npos);
  CHECK(result.out.find("24x64x32") != std::string::npos);
  CHECK(result.out.find("tensors, ") != std::string::npos);
  CHECK(result.out.find(" threads: at most ") != std::string::npos);
  CHECK(fs::is_empty(dir.path()));
}

TEST_CASE("convert ends with one line and the right code when it cannot work") {
  const TempDir dir;
  const std::string good = data_path("tiny-lite"), to = dir / "a.gguf";
  check_refused(run_convert({}), 1, "no checkpoint");
  check_refused(run_convert({good, "--type", "F32"}), 1, "no output");
  check_refused(run_convert({good, "-o", to}), 1, "no type");
  check_refused(run_convert({good, "-o", to, "--type", "Q4_K_XXL"}), 1, "Q4_K_M");
  check_refused(run_convert({good, "-o", to, "--type", "F32", "-t", "0"}), 1, "-t");
  check_refused(run_convert({good, "-o", to, "--type", "F32", "-t", "10000"}), 1, "-t");
  check_refused(run_convert({good, "-o", to, "--type", "F32", "--fast"}), 1, "--fast");
  check_refused(run_convert({good, "-o", dir.path(), "--type", "F32"}), 1, "is a directory");
  check_refused(run_convert({dir / "none", "-o", to, "--type", "F32"}), 66, "none");
  check_refused(run_convert({good + "/config.json", "-o", to, "--type", "F32"}), 1,
                "not a directory");
  check_refused(run_convert({dir.path(), "-o", to, "--type", "F32"}), 66, "safetensors");
  CHECK(run_convert({good, "-o", dir / "none/a.gguf", "--type", "F32"}).exit_code != 0);
  CHECK(fs::is_empty(dir.path()));

  TinyModel model;
  model.config["hidden_size"] = 0;
  model.write(dir / "m");
  check_refused(run_convert({dir / "m", "-o", to, "--type", "F32"}), 65, "'hidden_size': got 0");
}

TEST_CASE("types of very few bits are refused without an importance matrix") {
  const TempDir dir;
  TinyModel().write(dir / "m");
  const std::string from = dir / "m", to = dir / "a.gguf", matrix = dir / "i.gguf";
  const std::vector<std::string> by_recipe = {from, "-o", to, "--type", "IQ2_XS", "--pure"};
  const std::vector<std::string> by_rule = {
      from, "-o", to, "--type", "Q8_0", "--tensor-type", "blk.0.ffn_down=iq1_s"};
  check_refused(run_convert(by_recipe), 1, "--imatrix");
  check_refused(run_convert(by_rule), 1, "IQ1_S for 'blk.0.ffn_down.weight'");
  CHECK_FALSE(fs::exists(to));

  const auto with_matrix = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--imatrix", matrix, "--force"});
    return run_convert(arguments);
  };
  convert::ImportanceMatrix importance;
  importance.entries["blk.0.ffn_up.weight"] = {std::vector<float>(TinyModel::kHidden, 1), {1}};
  REQUIRE(convert::write_imatrix(matrix, importance));
  check_refused(with_matrix(by_rule), 1, "i.gguf has nothing of this tensor");
  importance.entries["blk.0.ffn_down.weight"] = {std::vector<float>(TinyModel::kDenseFf, 1), {1}};
  REQUIRE(convert::write_imatrix(matrix, importance));
  for (const auto& arguments : {by_recipe, by_rule}) {
    const RunResult result = with_matrix(arguments);
    INFO(result.err);
    CHECK(result.exit_code == 0);
    const auto type = GgufFile::open(to)->find_tensor("blk.0.ffn_down.weight")->desc.dtype;
    CHECK(type == (arguments[4] == "IQ2_XS" ? DType::kIQ2_XS : DType::kIQ1_S));
  }
  // What has such a type already keeps it.
  const RunResult copy = run_minke({"quantize", to, "-o", dir / "b.gguf", "--type", "COPY"});
  INFO(copy.err);
  CHECK(copy.exit_code == 0);
}

TEST_CASE("F8_E4M3 keeps the weights of an FP8 checkpoint to the bit") {
  const TempDir dir;
  const std::string from = data_path("tiny-lite-fp8"), f32 = dir / "f32.gguf", f8 = dir / "f8.gguf";
  REQUIRE(run_convert({from, "-o", f32, "--type", "F32"}).exit_code == 0);
  REQUIRE(run_convert({from, "-o", f8, "--type", "F8_E4M3"}).exit_code == 0);
  const auto expected = GgufFile::open(f32), file = GgufFile::open(f8);
  REQUIRE(expected);
  REQUIRE(file);
  int n_f8 = 0;
  for (const GgufTensor& tensor : file->tensors()) {
    if (tensor.desc.dtype != DType::kF8_E4M3) continue;
    CAPTURE(tensor.name);
    ++n_f8;
    std::vector<float> values(static_cast<size_t>(tensor.desc.shape.elements()));
    find_format(DType::kF8_E4M3)->decode(tensor.data.data(), values.data(), values.size() / 64);
    const std::span<const std::byte> right = expected->find_tensor(tensor.name)->data;
    CHECK(std::ranges::equal(std::as_bytes(std::span(values)), right));
  }
  CHECK(n_f8 == 5);  // Rows of 64 and 128 values; the other matrices' are shorter or odd.
  CHECK(file->find_tensor("output.weight")->desc.dtype == DType::kBF16);
  const RunResult info = run_minke({"info", f8});
  CHECK(info.out.find("F8_E4M3 is a type of Minke's own") != std::string::npos);
  // These are the weights as they were made: nothing is lost twice.
  CHECK(run_minke({"quantize", f8, "-o", dir / "q.gguf", "--type", "Q8_0"}).exit_code == 0);
}

TEST_CASE("an interrupted conversion ends with 130 and leaves no file under the name") {
  const TempDir dir;
  TinyModel model;
  constexpr int64_t kRows = 100'000;  // some seconds of work
  model.config["vocab_size"] = kRows;
  for (const char* name : {"model.embed_tokens.weight", "lm_head.weight"}) {
    RawTensor& t = model.tensor(name);
    t.shape[0] = kRows;
    while (t.data.size() < kRows * 64 * sizeof(float)) t.data += t.data;
    t.data.resize(kRows * 64 * sizeof(float));
  }
  model.write(dir / "m");
  for (const int number : {SIGINT, SIGTERM}) {
    CAPTURE(number);
    const std::string from = dir / "m", to = dir / "a.gguf";
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
      execl(MINKE_BINARY, "minke", "convert", from.c_str(), "-o", to.c_str(), "--type", "IQ4_NL",
            "-t", "1", nullptr);
      _exit(127);
    }
    while (!fs::exists(dir / "a.gguf.partial") && waitpid(child, nullptr, WNOHANG) == 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    // The partial file appears before the first tensor is read, and the signals are caught before.
    kill(child, number);
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 130);
    CHECK_FALSE(fs::exists(to));
    // Where a tensor was complete already, both files stay for --resume.
    CHECK(fs::remove(dir / "a.gguf.partial") == fs::remove(dir / "a.gguf.partial.journal"));
  }
}

TEST_CASE("progress is told in a person's units") {
  using apps::duration_text;
  using apps::size_text;
  CHECK(size_text(0) == "0 B");
  CHECK(size_text(999) == "999 B");
  CHECK(size_text(1000) == "1.00 kB");
  CHECK(size_text(999'994) == "999.99 kB");
  CHECK(size_text(999'999) == "1.00 MB");
  CHECK(size_text(10'360'000'000) == "10.36 GB");
  CHECK(duration_text(0) == "0:00");
  CHECK(duration_text(59.6) == "1:00");
  CHECK(duration_text(3723) == "1:02:03");
  const convert::Progress half{500'000'000, 1'000'000'000, 2.0, "blk.3.ffn_up_exps.weight"};
  CHECK(apps::progress_text(half) ==
        "50.0 %, 500.00 MB of 1.00 GB, 250.00 MB/s, 0:02 left, blk.3.ffn_up_exps.weight");
  const convert::Progress none{0, 0, 0, "x"};
  CHECK(apps::progress_text(none) == "100.0 %, 0 B of 0 B, 0 B/s, 0:00 left, x");
}
