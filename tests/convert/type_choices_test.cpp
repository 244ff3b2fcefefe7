#include "convert/type_choices.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/convert/convert_support.h"

using namespace minke;
using namespace minke::convert;

namespace {

TypeRule rule(const char* text) {
  auto parsed = TypeRule::parse(text);
  REQUIRE_MESSAGE(parsed.has_value(), (parsed ? "" : parsed.error().message));
  return std::move(*parsed);
}

DType choose(const TypeChoices& choices, const char* name, const Shape& shape = {512, 512}) {
  const bool is_output = name == std::string_view("output.weight");
  return choose_type(choices, name, {DType::kF16, shape}, 8, is_output).dtype;
}

DType type_of(const GgufFile& file, std::string_view name) {
  const GgufTensor* tensor = file.find_tensor(name);
  REQUIRE(tensor != nullptr);
  return tensor->desc.dtype;
}

}  // namespace

TEST_CASE("a rule is a regular expression, an equals sign and a type") {
  CHECK(rule("ffn_down=q6_k").dtype() == DType::kQ6_K);
  CHECK(rule("ffn_down=q6_k").matches("blk.3.ffn_down_exps.weight"));
  CHECK_FALSE(rule("^ffn_down=q6_k").matches("blk.3.ffn_down_exps.weight"));
  CHECK(rule("blk\\.(1|2)\\..*=F16").matches("blk.2.attn_q.weight"));
  CHECK_FALSE(rule("blk\\.(1|2)\\..*=F16").matches("blk.12.attn_q.weight"));
  CHECK(rule("a=b=q8_0").matches("xa=b"));
  for (const char* text :
       {"", "q8_0", "=q8_0", "ffn=", "ffn=q9", "ffn=Q4_K_M", "(=q8_0", "[=f16"}) {
    CAPTURE(text);
    const auto bad = TypeRule::parse(text);
    REQUIRE_FALSE(bad);
    CHECK(bad.error().code == Errc::kUsage);
    CHECK(bad.error().message.find('\n') == std::string::npos);
  }
}

TEST_CASE("the first rule that matches counts, then the options, then the recipe") {
  TypeChoices choices{.recipe = find_recipe("Q4_K_M")};
  choices.rules = {rule("blk.0.ffn_up=f16"), rule("ffn_up=q8_0"), rule("^output=q5_k")};
  choices.output = DType::kQ8_0;
  choices.token_embedding = DType::kBF16;
  CHECK(choose(choices, "blk.0.ffn_up.weight") == DType::kF16);
  CHECK(choose(choices, "blk.1.ffn_up.weight") == DType::kQ8_0);
  CHECK(choose(choices, "blk.1.ffn_gate.weight") == DType::kQ4_K);
  CHECK(choose(choices, "output.weight") == DType::kQ5_K);
  CHECK(choose(choices, "token_embd.weight") == DType::kBF16);
  const TypeChoices leaves{.recipe = find_recipe("Q4_K_M"), .leave_output = true};
  CHECK(choose(leaves, "output.weight") == DType::kF16);
  CHECK(choose(leaves, "token_embd.weight") == DType::kQ4_K);
  choices.rules.pop_back();
  CHECK(choose(choices, "output.weight") == DType::kQ8_0);
  choices.output.reset();
  CHECK(choose(choices, "output.weight") == DType::kQ6_K);
}

TEST_CASE("pure gives every matrix the recipe's type, and vectors and the router stay F32") {
  TypeChoices choices{.recipe = find_recipe("Q4_K_M"), .pure = true};
  choices.rules = {rule("norm|gate_inp=q8_0")};
  CHECK(choose(choices, "output.weight") == DType::kQ4_K);
  CHECK(choose(choices, "token_embd.weight") == DType::kQ4_K);
  CHECK(choose(choices, "blk.0.ffn_down.weight") == DType::kQ4_K);
  CHECK(choose(choices, "blk.0.attn_norm.weight", {512}) == DType::kF32);
  CHECK(choose(choices, "blk.0.ffn_gate_inp.weight") == DType::kF32);
}

TEST_CASE("a type whose blocks do not divide the rows gives way, and it is known for which") {
  const TypeChoices choices{.recipe = find_recipe("Q6_K"), .rules = {rule("ffn_up=q4_k")}};
  const TensorDesc narrow{DType::kF16, Shape{64, 1408}};
  const ChosenType up = choose_type(choices, "blk.0.ffn_up.weight", narrow, 8, false);
  CHECK(up.dtype == DType::kQ5_0);
  CHECK(up.wanted == DType::kQ4_K);
  const ChosenType down = choose_type(choices, "blk.0.ffn_down.weight", narrow, 8, false);
  CHECK(down.dtype == DType::kQ8_0);
  CHECK(down.wanted == DType::kQ6_K);
}

TEST_CASE("without a recipe tensors keep their types, but for those that are named") {
  const TypeChoices choices{.rules = {rule("ffn_up=q8_0")}};
  CHECK(choose(choices, "blk.0.attn_norm.weight", {512}) == DType::kF16);
  CHECK(choose(choices, "blk.0.ffn_gate.weight") == DType::kF16);
  CHECK(choose(choices, "blk.0.ffn_up.weight") == DType::kQ8_0);
}

TEST_CASE("choices reach the file, and a rule that no matrix matches is an error") {
  const test::TempDir dir;
  test::TinyModel().write(dir / "m");
  const auto convert = [&](std::vector<TypeRule> rules) -> Status {
    MINKE_ASSIGN(Source source, open_checkpoint(dir / "m"));
    TypeChoices choices{.recipe = find_recipe("Q8_0"), .rules = std::move(rules)};
    MINKE_ASSIGN(const Conversion conversion, Conversion::prepare(std::move(source), choices));
    return conversion.run(dir / "m.gguf", 2, nullptr);
  };
  REQUIRE(convert({rule("exps=iq4_nl"), rule("attn_k_b=f16")}));
  const auto file = GgufFile::open(dir / "m.gguf");
  REQUIRE(file);
  CHECK(type_of(*file, "blk.1.ffn_up_exps.weight") == DType::kIQ4_NL);
  CHECK(type_of(*file, "blk.0.attn_k_b.weight") == DType::kF16);
  CHECK(type_of(*file, "blk.0.attn_v_b.weight") == DType::kQ8_0);
  for (const char* text : {"ffn_dwon=q8_0", "attn_norm=q8_0"}) {
    const Status status = convert({rule("exps=q8_0"), rule(text)});
    REQUIRE_FALSE(status);
    CHECK(status.error().code == Errc::kUsage);
    CHECK(status.error().message.find(text) != std::string::npos);
  }
}

TEST_CASE("tied embeddings get the type of an output") {
  const test::TempDir dir;
  const GgufFile file = test::converted(test::TinyModel(), dir);
  auto writer = GgufWriter::create(dir / "tied.gguf");
  REQUIRE(writer);
  for (const auto& entry : file.entries()) writer->set_entry(entry);
  for (const auto& t : file.tensors()) {
    if (t.name != "output.weight") writer->add_tensor(t.name, t.desc);
  }
  REQUIRE(writer->begin_data());
  for (const auto& t : file.tensors()) {
    if (t.name != "output.weight") REQUIRE(writer->write(t.data));
  }
  REQUIRE(writer->finish());
  const GgufModel model{2, test::TinyModel::kHeads, 32, 32, 8, 16, 0, 0};
  auto source = open_gguf(dir / "tied.gguf", model);
  REQUIRE(source);
  const auto conversion = Conversion::prepare(std::move(*source), {.recipe = find_recipe("Q4_0")});
  REQUIRE(conversion);
  for (const PlannedTensor& t : conversion->tensors()) {
    if (t.name == "token_embd.weight") CHECK(t.wanted == DType::kQ6_K);
    if (t.name == "blk.0.ffn_up.weight") CHECK(t.wanted == DType::kQ4_0);
  }
}
