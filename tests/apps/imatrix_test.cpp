// `minke imatrix` from outside.
#include "convert/imatrix.h"

#include <doctest/doctest.h>

#include <numeric>

#include "tests/apps/app_model.h"
#include "tests/apps/run_minke.h"

using namespace minke;
using namespace minke::test;
using convert::ImportanceEntry;

namespace {

std::string long_text() {
  std::string text;
  for (int i = 0; i < 60; ++i) text += "Sort: kite, cup " + std::to_string(i) + ".\n";
  return text;
}

}  // namespace

TEST_CASE("imatrix: every product of the model has its sums, every expert its own") {
  const TempDir dir;
  write_file(dir / "text", long_text());
  const std::vector<std::string> arguments = {
      "imatrix", "-m",  tiny_model_file(), "-f", dir / "text", "-o", dir / "i.gguf", "-c", "64",
      "-b",      "128", "--chunks",        "4"};
  const RunResult result = run_minke(arguments);
  REQUIRE_MESSAGE(result.exit_code == 0, result.err);
  CHECK(result.out.empty());
  CHECK(result.err.find("4 chunks of 64 tokens") != std::string::npos);
  const auto matrix = convert::read_imatrix(dir / "i.gguf");
  REQUIRE_MESSAGE(matrix, (matrix ? "" : matrix.error().message));
  CHECK(matrix->n_chunks == 4);
  CHECK(matrix->datasets == std::vector<std::string>{"text"});
  const auto& config = tiny_model().config();
  constexpr float kTokens = 4 * 63;  // a chunk's last token predicts nothing
  for (const GgufTensor& tensor : tiny_model().file().tensors()) {
    const bool multiplies = tensor.desc.shape.rank() >= 2 && tensor.name != "token_embd.weight";
    const ImportanceEntry* entry = matrix->find(tensor.name);
    CAPTURE(tensor.name);
    REQUIRE((entry != nullptr) == multiplies);
    if (entry == nullptr) continue;
    const Shape& shape = tensor.desc.shape;
    const int64_t n_planes = shape.rank() == 3 ? shape[0] : 1;
    CHECK(convert::check_fits(tensor.name, *entry, n_planes, shape.cols()));
    CHECK(entry->counts.size() == static_cast<size_t>(n_planes));
    const float rows = std::accumulate(entry->counts.begin(), entry->counts.end(), 0.0f);
    if (tensor.name.find("_exps.") != std::string_view::npos)
      CHECK(rows == kTokens * static_cast<float>(config.n_experts_used));
    else if (tensor.name == "output.weight")
      CHECK(rows == 4 * 31);
    else
      CHECK(rows == kTokens * static_cast<float>(n_planes));
  }
  // What reads the same rows has the same sums.
  const auto sums = [&](const char* name) { return matrix->find(name)->sums; };
  CHECK(sums("blk.0.attn_q.weight") == sums("blk.0.attn_kv_a_mqa.weight"));
  CHECK(sums("blk.1.ffn_gate_exps.weight") == sums("blk.1.ffn_up_exps.weight"));
  CHECK(sums("blk.1.ffn_gate_inp.weight") == sums("blk.1.ffn_up_shexp.weight"));
  // The file is not replaced unless asked.
  CHECK(run_minke(arguments).exit_code == 1);
  std::vector<std::string> again = arguments;
  again.push_back("--force");
  CHECK(run_minke(again).exit_code == 0);
}

TEST_CASE("imatrix: warns of experts that saw little") {
  const TempDir dir;
  write_file(dir / "text", long_text());
  const RunResult result = run_minke({"imatrix", "-m", tiny_model_file(), "-f", dir / "text", "-o",
                                      dir / "i.gguf", "-c", "16", "--chunks", "1"});
  CHECK(result.exit_code == 0);
  CHECK(result.err.find("warning: blk.1: 8 of 8 experts saw fewer than 32 tokens") !=
        std::string::npos);
}

TEST_CASE("imatrix: bad input is one line and the right exit code") {
  const TempDir dir;
  write_file(dir / "short", "Hello.");
  const std::string model = tiny_model_file(), out = dir / "i.gguf";
  check_refused(run_minke({"imatrix", "-m", model, "-o", out}), 1, "no text");
  check_refused(run_minke({"imatrix", "-m", model, "-f", dir / "short"}), 1, "no output");
  check_refused(run_minke({"imatrix", "-m", model, "-f", dir / "short", "-o", out}), 1, "too few");
  check_refused(run_minke({"imatrix", "-m", model, "-f", dir / "none", "-o", out}), 66, "none");
  for (const std::string& input : {model, std::string(dir / "short")})
    check_refused(run_minke({"imatrix", "-m", model, "-f", dir / "short", "-o", input, "--force"}),
                  1, "is what is read");
  write_file(dir / "long", long_text());
  check_refused(run_minke({"imatrix", "-m", model, "-f", dir / "long", "-c", "64", "-o",
                           (dir / "no folder") / "i.gguf"}),
                66, "no folder");
  CHECK_FALSE(std::filesystem::exists(out));
}
