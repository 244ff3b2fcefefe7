// From measured sensitivities to a file of a given size, as a user does it.
#include <doctest/doctest.h>

#include <filesystem>
#include <string>

#include "convert/imatrix.h"
#include "models/model.h"
#include "tests/apps/run_minke.h"
#include "tests/support.h"

using namespace minke;
using namespace minke::test;
namespace fs = std::filesystem;

namespace {

void require_run(const std::vector<std::string>& arguments) {
  const RunResult result = run_minke(arguments);
  REQUIRE_MESSAGE(result.exit_code == 0, result.err);
}

/// Of a file's predictions from those saved in `base`.
double divergence(const std::string& model, const std::string& base) {
  const RunResult result = run_minke(
      {"perplexity", "-m", model, "--kl-divergence", "--kl-divergence-base", base, "-t", "2"});
  REQUIRE_MESSAGE(result.exit_code == 0, result.err);
  const std::string head = "Mean    KLD               :";
  const size_t at = result.out.find(head);
  REQUIRE(at != std::string::npos);
  return std::stod(result.out.substr(at + head.size()));
}

}  // namespace

TEST_CASE("auto: a file of the same size has less than half the divergence of a fixed mix") {
  const TempDir dir;
  const std::string model = MINKE_SOURCE_DIR "/models/demo/minke-demo-q8_0.gguf";
  // The first half is measured on, the second half compared on.
  const std::string questions = read_file(fs::path(data_path("demo_questions.jsonl")));
  write_file(dir / "a", questions.substr(0, questions.size() / 2));
  write_file(dir / "b", questions.substr(questions.size() / 2));
  const std::string matrix = dir / "i.gguf", mix = dir / "mix.gguf", chosen = dir / "auto.gguf";
  require_run({"perplexity", "-m", model, "-f", dir / "b", "-c", "128", "--chunks", "8",
               "--save-logits", dir / "base", "-t", "2"});
  require_run({"imatrix", "-m", model, "-f", dir / "a", "-o", matrix, "-c", "128", "--chunks", "16",
               "--sensitivity", "3"});
  require_run({"quantize", model, "-o", mix, "--type", "Q4_K_M", "--allow-requantize", "--imatrix",
               matrix, "-t", "2"});
  const auto mix_bytes = static_cast<double>(fs::file_size(mix));
  uint64_t n_weights = 0;
  const auto opened = Model::open(mix);
  REQUIRE(opened);
  double tensor_bytes = 0;
  for (const GgufTensor& tensor : (*opened)->file().tensors()) {
    n_weights += static_cast<uint64_t>(tensor.desc.shape.elements());
    tensor_bytes += static_cast<double>(tensor.data.size());
  }
  const double bits = tensor_bytes * 8 / static_cast<double>(n_weights);
  require_run({"quantize", model, "-o", chosen, "--type", "auto:" + std::to_string(bits),
               "--allow-requantize", "--imatrix", matrix, "-t", "2"});
  CHECK(static_cast<double>(fs::file_size(chosen)) < mix_bytes * 1.001);
  const double of_mix = divergence(mix, dir / "base"), of_auto = divergence(chosen, dir / "base");
  CAPTURE(of_mix);
  CHECK(of_auto < 0.5 * of_mix);
}

TEST_CASE("auto: what is missing is said in one line") {
  const TempDir dir;
  const std::string model = MINKE_SOURCE_DIR "/models/demo/minke-demo-q8_0.gguf";
  const std::string out = dir / "o.gguf";
  check_refused(run_minke({"quantize", model, "-o", out, "--type", "auto:4.5"}), 1,
                "minke imatrix --sensitivity");
  check_refused(run_minke({"quantize", model, "-o", out, "--type", "auto:x"}), 1, "auto:BITS");
  check_refused(run_minke({"quantize", model, "-o", out, "--type", "auto:4.5", "--pure"}), 1,
                "--pure");
  CHECK_FALSE(fs::exists(out));
}
