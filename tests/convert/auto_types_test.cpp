#include "convert/auto_types.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <random>
#include <utility>

#include "convert/convert.h"
#include "tests/convert/convert_support.h"

using namespace minke;
using namespace minke::convert;

namespace {

std::vector<DType> types_of(const std::vector<TypeOption>& options) {
  std::vector<DType> types;
  for (const TypeOption& option : options) types.push_back(option.dtype);
  return types;
}

/// The least sum of errors within `bytes`, by trying all choices.
double least_error(std::span<const std::vector<TypeOption>> tensors, uint64_t bytes) {
  if (tensors.empty()) return 0;
  double least = 1e30;
  for (const TypeOption& option : tensors.front()) {
    if (option.bytes > bytes) continue;
    least = std::min(least, option.error + least_error(tensors.subspan(1), bytes - option.bytes));
  }
  return least;
}

/// A matrix of sensitivities for every matrix of the Lite fixture.
ImportanceMatrix sensitivities(const Source& source) {
  ImportanceMatrix matrix;
  matrix.file_name = "i.gguf";
  for (const PlannedTensor& tensor : source.tensors) {
    if (stays_float(tensor.name, tensor.desc.shape)) continue;
    matrix.sensitivities[tensor.name] = 1;
    if (tensor.desc.shape.rank() > 2) continue;
    matrix.entries[tensor.name] = {
        std::vector<float>(static_cast<size_t>(tensor.desc.shape.cols()), 1.0f), {1}};
  }
  return matrix;
}

Result<Conversion> prepare(std::string_view type, void (*change)(ImportanceMatrix&)) {
  MINKE_ASSIGN(Source source, open_checkpoint(test::data_path("tiny-lite")));
  ImportanceMatrix matrix = sensitivities(source);
  change(matrix);
  TypeChoices choices;
  MINKE_ASSIGN(choices.budget, parse_size_budget(type));
  return Conversion::prepare(std::move(source), choices,
                             std::make_shared<const ImportanceMatrix>(std::move(matrix)));
}

void no_change(ImportanceMatrix&) {}

}  // namespace

TEST_CASE("auto types: sizes are bits a weight, MiB or GiB") {
  CHECK_FALSE(parse_size_budget("Q4_K_M")->has_value());
  CHECK((*parse_size_budget("auto:4.5"))->bytes_for(800) == 450);
  CHECK((*parse_size_budget("auto:1.5GiB"))->bytes_for(800) == (uint64_t{3} << 29));
  CHECK((*parse_size_budget("auto:20MiB"))->bytes_for(800) == (uint64_t{20} << 20));
  CHECK((*parse_size_budget("AUTO:2gb"))->bytes_for(800) == 2'000'000'000);
  for (const char* bad : {"auto:", "auto:x", "auto:0", "auto:-1", "auto:nan", "auto:17", "auto:4KB",
                          "auto:1e300GiB", "auto:4.5 ", "auto:infGiB"}) {
    CAPTURE(bad);
    const auto budget = parse_size_budget(bad);
    REQUIRE_FALSE(budget);
    CHECK(budget.error().code == Errc::kUsage);
  }
}

TEST_CASE("auto types: what saves less a byte than a larger type does is not worthwhile") {
  const TypeOption a{DType::kQ2_K, 10, 100}, b{DType::kQ3_K, 20, 90}, c{DType::kQ4_K, 30, 20},
      d{DType::kQ5_K, 40, 15}, worse{DType::kQ5_1, 45, 16}, same{DType::kIQ4_XS, 30, 25};
  CHECK(types_of(worthwhile({d, b, worse, a, same, c})) ==
        std::vector{DType::kQ2_K, DType::kQ4_K, DType::kQ5_K});
  CHECK(types_of(worthwhile({b})) == std::vector{DType::kQ3_K});
  // Types that cannot hold the values: the first that can is worth any price; something is left.
  const double inf = std::numeric_limits<double>::infinity();
  const TypeOption unfit{DType::kQ2_K, 1, inf}, too{DType::kQ8_0, 50, inf};
  CHECK(types_of(worthwhile({too, unfit})) == std::vector{DType::kQ2_K});
  CHECK(types_of(worthwhile({b, unfit, too})) == std::vector{DType::kQ2_K, DType::kQ3_K});
}

TEST_CASE("auto types: the choice stays within the size and near the best there is") {
  std::mt19937 random(7);
  std::uniform_real_distribution<double> uniform(0.1, 1);
  for (int round = 0; round < 50; ++round) {
    std::vector<std::vector<TypeOption>> tensors(5);
    uint64_t least = 0, most = 0;
    for (auto& options : tensors) {
      const double weight = uniform(random);
      for (uint64_t bits = 2; bits <= 8; ++bits)
        options.push_back(
            {DType::kF32, bits * 1000, weight / static_cast<double>(1 << (2 * bits))});
      options = worthwhile(std::move(options));
      least += options.front().bytes;
      most += options.back().bytes;
    }
    CHECK_FALSE(choose_options(tensors, least - 1));
    for (uint64_t bytes = least; bytes <= most; bytes += 1500) {
      const auto chosen = choose_options(tensors, bytes);
      REQUIRE(chosen);
      uint64_t used = 0;
      double error = 0;
      for (size_t i = 0; i < tensors.size(); ++i) {
        used += tensors[i][(*chosen)[i]].bytes;
        error += tensors[i][(*chosen)[i]].error;
      }
      CHECK(used <= bytes);
      // Steps have one size here, so going to the steepest step first is the best choice.
      CHECK(error <= least_error(tensors, bytes) * (1 + 1e-12));
    }
  }
}

TEST_CASE("auto types: bytes go to the tensor that suffers") {
  const auto equal = prepare("auto:6", no_change);
  REQUIRE_MESSAGE(equal, (equal ? "" : equal.error().message));
  const auto uneven = prepare("auto:6", [](ImportanceMatrix& matrix) {
    matrix.sensitivities["blk.0.attn_output.weight"] = 1000;
    matrix.sensitivities["blk.1.attn_output.weight"] = 0;
  });
  REQUIRE(uneven);
  uint64_t n_weights = 0;
  for (const PlannedTensor& tensor : equal->tensors())
    n_weights += static_cast<uint64_t>(tensor.desc.shape.elements());
  CHECK(equal->tensor_bytes() <= n_weights * 6 / 8);
  CHECK(uneven->tensor_bytes() <= n_weights * 6 / 8);
  CHECK(equal->tensor_bytes() > n_weights * 5 / 8);
  const auto bytes_of = [](const Conversion& conversion, std::string_view name) {
    const auto it = std::ranges::find(conversion.tensors(), name, &PlannedTensor::name);
    REQUIRE(it != conversion.tensors().end());
    return it->desc.bytes();
  };
  CHECK(bytes_of(*uneven, "blk.0.attn_output.weight") >
        bytes_of(*uneven, "blk.1.attn_output.weight"));
  CHECK(bytes_of(*equal, "blk.0.attn_output.weight") ==
        bytes_of(*equal, "blk.1.attn_output.weight"));
}

TEST_CASE("auto types: a size that is too small and what was not measured are errors") {
  const auto small = prepare("auto:1.5", no_change);
  REQUIRE_FALSE(small);
  CHECK(small.error().message.find("the least is") != std::string::npos);
  const auto unmeasured =
      prepare("auto:6", [](ImportanceMatrix& matrix) { matrix.sensitivities.clear(); });
  REQUIRE_FALSE(unmeasured);
  CHECK(unmeasured.error().message.find("--sensitivity") != std::string::npos);
  const auto partly = prepare("auto:6", [](ImportanceMatrix& matrix) {
    matrix.sensitivities.erase("blk.0.attn_output.weight");
  });
  REQUIRE_FALSE(partly);
  CHECK(partly.error().message.find("'blk.0.attn_output.weight'") != std::string::npos);
}

TEST_CASE("auto types: sensitivities are kept in the file of the importance matrix") {
  const test::TempDir dir;
  ImportanceMatrix matrix;
  matrix.entries["a.weight"] = {{1, 2}, {3}};
  matrix.sensitivities["a.weight"] = 0.25f;
  matrix.sensitivities["token_embd.weight"] = 4;
  REQUIRE(write_imatrix(dir / "m.gguf", matrix));
  const auto read = read_imatrix(dir / "m.gguf");
  REQUIRE_MESSAGE(read, (read ? "" : read.error().message));
  CHECK(read->sensitivities == matrix.sensitivities);
  CHECK(read->file_name == "m.gguf");
  CHECK(read->entries.size() == 1);
}
