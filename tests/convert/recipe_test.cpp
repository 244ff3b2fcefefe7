#include "convert/recipe.h"

#include <doctest/doctest.h>

#include <map>
#include <string>
#include <vector>

#include "convert/type_choices.h"

using namespace minke;
using namespace minke::convert;

namespace {

struct Named {
  std::string name;
  Shape shape;
};

/// The tensors of DeepSeek-V2-Lite as GGUF files hold them.
std::vector<Named> v2_lite() {
  std::vector<Named> all = {{"token_embd.weight", {102400, 2048}},
                            {"output_norm.weight", {2048}},
                            {"output.weight", {102400, 2048}}};
  for (int layer = 0; layer < 27; ++layer) {
    const auto add = [&](const char* name, Shape shape) {
      all.push_back({"blk." + std::to_string(layer) + "." + name + ".weight", shape});
    };
    add("attn_norm", {2048});
    add("attn_q", {3072, 2048});
    add("attn_kv_a_mqa", {576, 2048});
    add("attn_kv_a_norm", {512});
    add("attn_k_b", {16, 512, 128});
    add("attn_v_b", {16, 128, 512});
    add("attn_output", {2048, 2048});
    add("ffn_norm", {2048});
    if (layer == 0) {
      add("ffn_gate", {10944, 2048});
      add("ffn_up", {10944, 2048});
      add("ffn_down", {2048, 10944});
      continue;
    }
    add("ffn_gate_inp", {64, 2048});
    add("ffn_gate_exps", {64, 1408, 2048});
    add("ffn_up_exps", {64, 1408, 2048});
    add("ffn_down_exps", {64, 2048, 1408});
    add("ffn_gate_shexp", {2816, 2048});
    add("ffn_up_shexp", {2816, 2048});
    add("ffn_down_shexp", {2048, 2816});
  }
  return all;
}

DType chosen(const Recipe& recipe, std::string_view name, const Shape& shape, int64_t n_layers) {
  const TypeChoices choices{.recipe = &recipe};
  return choose_type(choices, name, {DType::kF32, shape}, n_layers, name == "output.weight").dtype;
}

std::map<DType, int> count(const char* recipe) {
  std::map<DType, int> counts;
  for (const Named& t : v2_lite()) {
    ++counts[chosen(*find_recipe(recipe), t.name, t.shape, 27)];
  }
  return counts;
}

DType choice(const char* recipe, const char* name) {
  for (const Named& t : v2_lite()) {
    if (t.name == name) return chosen(*find_recipe(recipe), t.name, t.shape, 27);
  }
  FAIL("no tensor ", name);
  return DType::kF32;
}

}  // namespace

TEST_CASE("V2-Lite as Q4_K_M has the mix that its users know") {
  // Published files, with attn_kv_b whole: 229 Q4_K, 14 Q5_0, 13 Q8_0, 13 Q6_K, 108 F32. Here the
  // 27 attn_kv_b are 27 attn_v_b in Q4_K, and 27 attn_k_b whose rows of 128 need Q5_0.
  CHECK(count("Q4_K_M") == std::map<DType, int>{{DType::kQ4_K, 229},
                                                {DType::kQ5_0, 14 + 27},
                                                {DType::kQ8_0, 13},
                                                {DType::kQ6_K, 13},
                                                {DType::kF32, 108}});
}

TEST_CASE("the simple recipes use one format, and F32 where it matters") {
  CHECK(count("F32") == std::map<DType, int>{{DType::kF32, 404}});
  CHECK(count("F16") == std::map<DType, int>{{DType::kF16, 296}, {DType::kF32, 108}});
  CHECK(count("BF16") == std::map<DType, int>{{DType::kBF16, 296}, {DType::kF32, 108}});
  CHECK(count("Q8_0") == std::map<DType, int>{{DType::kQ8_0, 296}, {DType::kF32, 108}});
  CHECK(count("Q4_0") ==
        std::map<DType, int>{{DType::kQ4_0, 295}, {DType::kQ6_K, 1}, {DType::kF32, 108}});
  // Rows of 128, 1408 and 10944 values: 27 attn_k_b and 27 down projections.
  CHECK(count("Q6_K") ==
        std::map<DType, int>{{DType::kQ6_K, 242}, {DType::kQ8_0, 54}, {DType::kF32, 108}});
}

TEST_CASE("the small recipes give more bits to the tensors that need them") {
  CHECK(choice("Q2_K", "token_embd.weight") == DType::kQ2_K);
  CHECK(choice("Q2_K", "output.weight") == DType::kQ6_K);
  CHECK(choice("Q2_K", "blk.5.attn_output.weight") == DType::kQ3_K);
  CHECK(choice("Q2_K", "blk.5.ffn_down_shexp.weight") == DType::kQ3_K);
  CHECK(choice("Q2_K", "blk.5.ffn_down_exps.weight") == DType::kIQ4_NL);
  CHECK(choice("Q2_K", "blk.5.attn_k_b.weight") == DType::kIQ4_NL);
  CHECK(choice("Q3_K_S", "blk.5.ffn_down_shexp.weight") == DType::kQ3_K);
  CHECK(choice("Q3_K_M", "blk.5.ffn_down_shexp.weight") == DType::kQ4_K);
  CHECK(choice("Q3_K_M", "blk.5.attn_output.weight") == DType::kQ4_K);
  CHECK(choice("Q3_K_L", "blk.5.ffn_down_exps.weight") == DType::kQ5_1);
  CHECK(choice("Q4_K_S", "blk.1.ffn_down_shexp.weight") == DType::kQ5_K);
  CHECK(choice("Q4_K_S", "blk.3.ffn_down_shexp.weight") == DType::kQ4_K);
  CHECK(choice("Q4_K_M", "blk.5.ffn_down_shexp.weight") == DType::kQ6_K);
  CHECK(choice("Q4_K_M", "blk.6.ffn_down_shexp.weight") == DType::kQ4_K);
  CHECK(choice("Q5_K_M", "blk.26.ffn_down_exps.weight") == DType::kQ8_0);
  CHECK(choice("Q5_K_S", "blk.26.ffn_down_exps.weight") == DType::kQ5_1);
  CHECK(choice("IQ4_XS", "blk.2.ffn_down_shexp.weight") == DType::kQ5_K);
  CHECK(choice("IQ4_XS", "blk.9.ffn_gate_exps.weight") == DType::kIQ4_XS);
  CHECK(choice("IQ4_XS", "blk.9.attn_k_b.weight") == DType::kIQ4_NL);
  CHECK(choice("IQ4_NL", "blk.9.attn_k_b.weight") == DType::kIQ4_NL);
}

TEST_CASE("the smallest recipes store in larger types what is small and counts much") {
  CHECK(choice("IQ2_XXS", "token_embd.weight") == DType::kQ2_K);
  CHECK(choice("IQ2_XXS", "output.weight") == DType::kQ5_K);
  CHECK(choice("IQ2_XXS", "blk.5.attn_v_b.weight") == DType::kQ4_K);
  CHECK(choice("IQ2_XXS", "blk.5.attn_output.weight") == DType::kIQ2_XXS);
  CHECK(choice("IQ2_XXS", "blk.1.ffn_down_shexp.weight") == DType::kQ2_K);
  CHECK(choice("IQ2_XXS", "blk.5.ffn_down_shexp.weight") == DType::kIQ2_XXS);
  CHECK(choice("IQ2_XXS", "blk.5.ffn_down_exps.weight") == DType::kIQ4_NL);
  CHECK(choice("IQ2_XXS", "blk.5.attn_k_b.weight") == DType::kIQ4_NL);
  CHECK(choice("IQ1_S", "blk.5.attn_output.weight") == DType::kIQ2_XXS);
  CHECK(choice("IQ1_M", "blk.5.ffn_up_exps.weight") == DType::kIQ1_M);
  CHECK(choice("IQ2_S", "blk.5.ffn_up_exps.weight") == DType::kIQ2_XS);
  CHECK(choice("IQ2_M", "blk.5.ffn_up_exps.weight") == DType::kIQ2_S);
  CHECK(choice("IQ2_M", "token_embd.weight") == DType::kIQ3_S);
  CHECK(choice("IQ3_XXS", "blk.5.attn_q.weight") == DType::kIQ2_S);
  CHECK(choice("IQ3_XXS", "blk.5.attn_output.weight") == DType::kIQ3_S);
  CHECK(choice("IQ3_XS", "blk.1.ffn_up_exps.weight") == DType::kIQ3_S);
  CHECK(choice("IQ3_XS", "blk.5.ffn_up_exps.weight") == DType::kIQ3_XXS);
  CHECK(choice("IQ3_XS", "blk.26.ffn_up_exps.weight") == DType::kIQ3_S);
  CHECK(choice("IQ3_XS", "output.weight") == DType::kQ6_K);
  CHECK(choice("IQ3_M", "blk.2.ffn_down_shexp.weight") == DType::kQ4_K);
  CHECK(choice("IQ3_M", "blk.2.attn_output.weight") == DType::kQ4_K);
  CHECK(count("MXFP4_MOE") == std::map<DType, int>{{DType::kMXFP4, 3 * 26},
                                                   {DType::kQ8_0, 296 - 3 * 26},
                                                   {DType::kF32, 108}});
}

TEST_CASE("a row that no block divides is stored as F16") {
  const Recipe& recipe = *find_recipe("Q4_K_M");
  CHECK(chosen(recipe, "blk.0.attn_k_b.weight", {2, 32, 24}, 4) == DType::kF16);
  CHECK(chosen(recipe, "output.weight", {10, 40}, 4) == DType::kF16);
  CHECK(chosen(recipe, "output.weight", {10, 64}, 4) == DType::kQ8_0);
}

TEST_CASE("recipes are found by name in any case, and every one is complete") {
  CHECK(find_recipe("q4_k_m") == find_recipe("Q4_K_M"));
  CHECK(find_recipe("Q4_K") == find_recipe("Q4_K_M"));
  CHECK(find_recipe("Q2_K_M") == nullptr);
  CHECK(find_recipe("") == nullptr);
  for (const Recipe& recipe : recipes()) {
    CAPTURE(recipe.name);
    for (const Named& t : v2_lite()) {
      const FormatTraits* format = find_format(chosen(recipe, t.name, t.shape, 27));
      REQUIRE(format != nullptr);
      const bool can_encode = format->encode != nullptr;
      CHECK(can_encode);
      CHECK(t.shape.cols() % static_cast<int64_t>(format->block_len) == 0);
    }
  }
}
