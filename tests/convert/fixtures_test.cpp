// The checkpoints of tests/data, which transformers wrote.
#include <doctest/doctest.h>

#include <cmath>

#include "convert/convert.h"
#include "runtime/gguf_reader.h"
#include "tests/convert/checkpoint_builder.h"
#include "tests/support.h"

using namespace minke;
using namespace minke::convert;

namespace {

GgufFile convert_fixture(const char* name, const char* recipe, const test::TempDir& dir) {
  const auto conversion = Conversion::prepare(test::data_path(name), *find_recipe(recipe));
  REQUIRE_MESSAGE(conversion.has_value(), (conversion ? "" : conversion.error().message));
  const auto path = dir / (std::string(name) + ".gguf");
  const Status status = conversion->run(path, 2, nullptr);
  REQUIRE_MESSAGE(status.has_value(), (status ? "" : status.error().message));
  auto file = GgufFile::open(path);
  REQUIRE_MESSAGE(file.has_value(), (file ? "" : file.error().message));
  return std::move(*file);
}

std::vector<float> values_of(const GgufTensor& tensor) {
  std::vector<float> values(static_cast<size_t>(tensor.desc.shape.elements()));
  const FormatTraits& format = *find_format(tensor.desc.dtype);
  format.decode(tensor.data.data(), values.data(), values.size() / format.block_len);
  return values;
}

/// Largest difference of two files' tensors, relative to each tensor's largest value.
double difference(const GgufFile& a, const GgufFile& b) {
  REQUIRE(a.tensors().size() == b.tensors().size());
  double worst = 0;
  for (const GgufTensor& tensor : a.tensors()) {
    const GgufTensor* other = b.find_tensor(tensor.name);
    REQUIRE_MESSAGE(other != nullptr, tensor.name);
    const auto x = values_of(tensor), y = values_of(*other);
    double top = 0, apart = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      top = std::max(top, std::abs(static_cast<double>(x[i])));
      apart = std::max(apart, std::abs(static_cast<double>(x[i]) - static_cast<double>(y[i])));
    }
    worst = std::max(worst, apart / top);
  }
  return worst;
}

}  // namespace

TEST_CASE("the checkpoints of both shapes convert to every type") {
  const test::TempDir dir;
  for (const char* name : {"tiny-lite", "tiny-236b", "tiny-236b-0.707"}) {
    CAPTURE(name);
    const GgufFile exact = convert_fixture(name, "F32", dir);
    CHECK(*exact.get_string("tokenizer.ggml.pre") == "deepseek-llm");
    CHECK(*exact.get_bool("tokenizer.ggml.add_bos_token"));
    CHECK(*exact.get_uint("tokenizer.ggml.bos_token_id") == 318);
    CHECK(*exact.get_uint("tokenizer.ggml.eos_token_id") == 319);
    CHECK(exact.get_string("tokenizer.chat_template")->find("User: ") != std::string_view::npos);
    for (const Recipe& recipe : recipes()) {
      CAPTURE(recipe.name);
      const test::TempDir own;
      const GgufFile file = convert_fixture(name, recipe.name.data(), own);
      const double limit = recipe.name == "F32"    ? 0
                           : recipe.name == "F16"  ? 0.0005
                           : recipe.name == "BF16" ? 0.004
                           : recipe.name == "Q8_0" ? 0.008
                                                   : 0.25;
      CHECK(difference(exact, file) <= limit);
    }
  }
}

TEST_CASE("a model of the 236B's shape carries its groups, its scale and its low-rank query") {
  const test::TempDir dir;
  const GgufFile file = convert_fixture("tiny-236b-0.707", "F32", dir);
  CHECK(*file.get_uint("deepseek2.attention.q_lora_rank") == 32);
  CHECK(*file.get_uint("deepseek2.expert_group_count") == 8);
  CHECK(*file.get_uint("deepseek2.expert_group_used_count") == 3);
  CHECK(*file.get_float("deepseek2.expert_weights_scale") == 16);
  CHECK(static_cast<float>(*file.get_float("deepseek2.rope.scaling.yarn_log_multiplier")) ==
        0.0707f);
  CHECK(file.find_tensor("blk.0.attn_q_a_norm.weight") != nullptr);
  CHECK(file.find_tensor("blk.0.attn_q.weight") == nullptr);
}

TEST_CASE("BF16 and FP8 checkpoints hold the same model, rounded") {
  const test::TempDir dir;
  const GgufFile exact = convert_fixture("tiny-lite", "F32", dir);
  const GgufFile bf16 = convert_fixture("tiny-lite-bf16", "F32", dir);
  const GgufFile fp8 = convert_fixture("tiny-lite-fp8", "F32", dir);
  CHECK(difference(exact, bf16) <= 0.004);  // 8 bits of mantissa
  CHECK(difference(exact, bf16) > 0);
  CHECK(difference(exact, fp8) <= 0.0626);  // 4 bits of mantissa
  CHECK(difference(exact, fp8) > 0.004);
}
