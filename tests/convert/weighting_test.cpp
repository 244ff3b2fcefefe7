#include "convert/weighting.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "convert/imatrix.h"
#include "tests/convert/convert_support.h"

using namespace minke;
using namespace minke::convert;

namespace {

/// A tensor (2, 3, 4) of two slabs, one a plane.
struct Fixture {
  Fixture() {
    const SourceTensor source{"t", nullptr, 0, Shape{3, 4}, source_format(DType::kF32)};
    const SourceMatrix matrix{source, {}, 0, 0};
    tensor.desc = {DType::kQ8_0, Shape{2, 3, 4}};
    tensor.slabs = {{matrix, 0, 3, false}, {matrix, 0, 3, false}};
  }
  std::vector<float> weigh(size_t slab, int64_t first_row, int64_t n_rows) const {
    const std::vector<float> ones(static_cast<size_t>(n_rows) * 4, 1.0f);
    std::vector<float> weights;
    weigh_errors({&tensor, &tensor.slabs[slab], first_row, n_rows}, ones, weights);
    return weights;
  }
  PlannedTensor tensor;
};

}  // namespace

TEST_CASE("weighting: a value counts by its square and the mean square around it") {
  Fixture fixture;
  std::vector<float> weights;
  // The ends of f32's range too, where squares are infinite, or zero.
  for (const int exponent : {0, 125, 64, -64, -135}) {
    CAPTURE(exponent);
    std::vector<float> values = {1, 2, 3, 4, 0, 0, 0, 2};
    for (float& v : values) v = std::ldexp(v, exponent);
    weigh_errors({&fixture.tensor, fixture.tensor.slabs.data(), 0, 2}, values, weights);
    // Of a row, they are known but for a factor.
    for (const size_t i : {size_t{4}, size_t{0}}) {
      const float unit = weights[i];
      CHECK(std::isnormal(unit));
      for (size_t k = i; k < i + 4; ++k) weights[k] /= unit;
    }
    CHECK(weights == std::vector<float>{1, 11.5f / 8.5f, 16.5f / 8.5f, 23.5f / 8.5f, 1, 1, 1, 5});
  }
}

TEST_CASE("weighting: what is large counts more among embeddings of tokens") {
  Fixture fixture;
  const std::vector<float> values = {1, 2, 3, 4};
  std::vector<float> plain, looked_up;
  const Piece piece{&fixture.tensor, fixture.tensor.slabs.data(), 0, 1};
  weigh_errors(piece, values, plain);
  fixture.tensor.name = "token_embd.weight";
  weigh_errors(piece, values, looked_up);
  for (size_t i = 0; i < 4; ++i) CHECK(looked_up[i] == plain[i] * plain[i]);
  // Tied to the output, it is a matrix too: its importance tells better.
  const ImportanceEntry entry{{1e6f, 2e6f, 3e6f, 4e6f, 8e6f, 8e6f, 8e6f, 9e6f}, {1e6f, 1e6f}};
  fixture.tensor.importance = &entry;
  weigh_errors(piece, values, looked_up);
  const double mean = 7.5;
  CHECK(static_cast<double>(looked_up[1] / looked_up[0]) ==
        doctest::Approx(2 * (16 * mean + 4) / (16 * mean + 1)).epsilon(1e-3));
}

TEST_CASE("weighting: columns count by the importance of their plane") {
  Fixture fixture;
  ImportanceEntry entry{{1e6f, 2e6f, 3e6f, 4e6f, 8e6f, 8e6f, 8e6f, 9e6f}, {1e6f, 1e6f}};
  fixture.tensor.importance = &entry;
  // Values of 1, where the mean square counts 16 times.
  const auto near = [](const std::vector<float>& got, const std::vector<float>& expected) {
    REQUIRE(got.size() == expected.size());
    for (size_t i = 0; i < got.size(); ++i)
      CHECK(got[i] == doctest::Approx(17 * static_cast<double>(expected[i])).epsilon(1e-3));
  };
  near(fixture.weigh(0, 1, 1), {1, 2, 3, 4});
  near(fixture.weigh(1, 0, 2), {8, 8, 8, 9, 8, 8, 8, 9});
  // One slab of both planes, as a GGUF source has it.
  fixture.tensor.slabs.resize(1);
  fixture.tensor.slabs[0].source.weights.shape = Shape{6, 4};
  fixture.tensor.slabs[0].n_rows = 6;
  near(fixture.weigh(0, 2, 2), {1, 2, 3, 4, 8, 8, 8, 9});
}

TEST_CASE("weighting: with few bits a value's own size counts more") {
  const std::vector<float> values = {1, 2, 3, 4}, importance = {1, 1, 1, 1};
  for (const auto& [dtype, share] : std::initializer_list<std::pair<DType, double>>{
           {DType::kQ2_K, 4}, {DType::kIQ2_S, 4}, {DType::kQ3_K, 16}, {DType::kQ8_0, 16}}) {
    std::vector<float> weights(4);
    weigh_row(values, importance, dtype, weights);
    CHECK(static_cast<double>(weights[3] / weights[0]) ==
          doctest::Approx((share * 7.5 + 16) / (share * 7.5 + 1)).epsilon(1e-5));
    weigh_row(values, {}, dtype, weights);
    CHECK(static_cast<double>(weights[3] / weights[0]) ==
          doctest::Approx((7.5 + 16) / (7.5 + 1)).epsilon(1e-5));
  }
}

TEST_CASE("weighting: a conversion uses what fits, and tells what it lacks") {
  const test::TempDir dir;
  const auto convert = [&](const ImportanceMatrix& matrix, const char* name) -> Result<int> {
    MINKE_ASSIGN(Source source, open_checkpoint(test::data_path("tiny-lite")));
    MINKE_ASSIGN(const auto conversion,
                 Conversion::prepare(std::move(source), {.recipe = find_recipe("Q4_0")},
                                     std::make_shared<const ImportanceMatrix>(matrix)));
    MINKE_TRY(conversion.run(dir / name, 2, nullptr));
    return conversion.n_without_importance();
  };
  ImportanceMatrix matrix;
  CHECK(convert(matrix, "none").error().code == Errc::kShape);
  matrix.entries["blk.0.attn_q.weight"] = {std::vector<float>(95, 1.0f), {1}};
  CHECK(convert(matrix, "other").error().code == Errc::kShape);
  ImportanceEntry& entry = matrix.entries["blk.0.attn_q.weight"];
  entry.sums.assign(96, 1.0f);
  matrix.datasets = {"words"};
  matrix.file_name = "i.gguf";
  const auto flat = convert(matrix, "flat");
  REQUIRE_MESSAGE(flat, (flat ? "" : flat.error().message));
  CHECK(*flat > 10);
  for (size_t i = 0; i < entry.sums.size(); i += 2) entry.sums[i] = 1000;
  REQUIRE(convert(matrix, "uneven"));
  const auto flat_file = GgufFile::open(dir / "flat"), file = GgufFile::open(dir / "uneven");
  REQUIRE(flat_file);
  REQUIRE(file);
  CHECK(file->get_string("quantize.imatrix.file") == "i.gguf");
  CHECK(file->get_string("quantize.imatrix.dataset") == "words");
  CHECK(file->get_uint("quantize.imatrix.entries_count") == 1);
  for (const GgufTensor& tensor : file->tensors()) {
    CAPTURE(tensor.name);
    const bool same = std::ranges::equal(tensor.data, flat_file->find_tensor(tensor.name)->data);
    CHECK(same == (tensor.name != "blk.0.attn_q.weight"));
  }
}
