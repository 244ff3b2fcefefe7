#include "convert/recipe.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <string>
#include <utility>

namespace minke::convert {
namespace {

constexpr std::array kRecipes = {
    Recipe{"F32", DType::kF32, 0},
    Recipe{"F16", DType::kF16, 1},
    Recipe{"BF16", DType::kBF16, 32},
    Recipe{"Q8_0", DType::kQ8_0, 7},
    Recipe{"Q4_0", DType::kQ4_0, 2},
    Recipe{"Q4_1", DType::kQ4_1, 3},
    Recipe{"Q5_0", DType::kQ5_0, 8},
    Recipe{"Q5_1", DType::kQ5_1, 9},
    Recipe{"Q2_K", DType::kQ2_K, 10},
    Recipe{"Q3_K_S", DType::kQ3_K, 11},
    Recipe{"Q3_K_M", DType::kQ3_K, 12},
    Recipe{"Q3_K_L", DType::kQ3_K, 13},
    Recipe{"Q4_K_S", DType::kQ4_K, 14},
    Recipe{"Q4_K_M", DType::kQ4_K, 15},
    Recipe{"Q5_K_S", DType::kQ5_K, 16},
    Recipe{"Q5_K_M", DType::kQ5_K, 17},
    Recipe{"Q6_K", DType::kQ6_K, 18},
    Recipe{"IQ4_NL", DType::kIQ4_NL, 25},
    Recipe{"IQ4_XS", DType::kIQ4_XS, 30},
    Recipe{"IQ1_S", DType::kIQ1_S, 24},
    Recipe{"IQ1_M", DType::kIQ1_M, 31},
    Recipe{"IQ2_XXS", DType::kIQ2_XXS, 19},
    Recipe{"IQ2_XS", DType::kIQ2_XS, 20},
    Recipe{"IQ2_S", DType::kIQ2_XS, 28},
    Recipe{"IQ2_M", DType::kIQ2_S, 29},
    Recipe{"IQ3_XXS", DType::kIQ3_XXS, 23},
    Recipe{"IQ3_XS", DType::kIQ3_S, 22},
    Recipe{"IQ3_S", DType::kIQ3_S, 26},
    Recipe{"IQ3_M", DType::kIQ3_S, 27},
    Recipe{"MXFP4_MOE", DType::kMXFP4, 38},
    Recipe{"F8_E4M3", DType::kF8_E4M3, static_cast<uint32_t>(DType::kF8_E4M3)},
};

/// What the mixes of the smallest formats store in other types than their base.
struct SmallMix {
  std::string_view name;
  DType output;
  DType embeddings;
  DType queries;
  DType attention_output;
  DType first_down;      ///< Down projections of the first eighth of the layers.
  DType middle_gate_up;  ///< Those that are not in the first or last eighth.
};

constexpr std::array kSmallMixes = {
    SmallMix{"IQ1_S", DType::kQ5_K, DType::kQ2_K, DType::kIQ1_S, DType::kIQ2_XXS, DType::kQ2_K,
             DType::kIQ1_S},
    SmallMix{"IQ1_M", DType::kQ5_K, DType::kQ2_K, DType::kIQ1_M, DType::kIQ2_XXS, DType::kQ2_K,
             DType::kIQ1_M},
    SmallMix{"IQ2_XXS", DType::kQ5_K, DType::kQ2_K, DType::kIQ2_XXS, DType::kIQ2_XXS, DType::kQ2_K,
             DType::kIQ2_XXS},
    SmallMix{"IQ2_XS", DType::kQ5_K, DType::kQ2_K, DType::kIQ2_XS, DType::kIQ2_XS, DType::kQ2_K,
             DType::kIQ2_XS},
    SmallMix{"IQ2_S", DType::kQ5_K, DType::kIQ3_S, DType::kIQ2_XS, DType::kIQ3_S, DType::kIQ3_S,
             DType::kIQ2_XS},
    SmallMix{"IQ2_M", DType::kQ5_K, DType::kIQ3_S, DType::kIQ2_S, DType::kIQ3_S, DType::kIQ3_S,
             DType::kIQ2_S},
    SmallMix{"IQ3_XXS", DType::kQ5_K, DType::kIQ3_S, DType::kIQ2_S, DType::kIQ3_S, DType::kIQ3_XXS,
             DType::kIQ3_XXS},
    SmallMix{"IQ3_XS", DType::kQ6_K, DType::kIQ3_S, DType::kIQ3_XXS, DType::kIQ3_S, DType::kIQ3_S,
             DType::kIQ3_XXS},
    SmallMix{"IQ3_S", DType::kQ6_K, DType::kIQ3_S, DType::kIQ3_S, DType::kIQ3_S, DType::kIQ3_S,
             DType::kIQ3_S},
    SmallMix{"IQ3_M", DType::kQ6_K, DType::kIQ3_S, DType::kIQ3_S, DType::kQ4_K, DType::kQ4_K,
             DType::kIQ3_S},
};

bool same_ignoring_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(
      a, b, [](unsigned char x, unsigned char y) { return std::toupper(x) == std::toupper(y); });
}

bool is_float_format(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

bool divides(DType dtype, int64_t cols) {
  return cols % static_cast<int64_t>(find_format(dtype)->block_len) == 0;
}

/// N of "blk.N.x"; -1 for tensors outside the layers.
int64_t layer_of(std::string_view name) {
  constexpr std::string_view kPrefix = "blk.";
  int64_t layer = -1;
  if (name.starts_with(kPrefix)) {
    std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), layer);
  }
  return layer;
}

/// Layers whose errors reach the output most: the first and last eighth, and a third of the rest.
bool wants_more_bits(int64_t layer, int64_t n_layers) {
  return layer < n_layers / 8 || layer >= 7 * n_layers / 8 || (layer - n_layers / 8) % 3 == 2;
}

DType down_projection(const Recipe& recipe, int64_t layer, int64_t n_layers) {
  const bool is_first = layer < n_layers / 8;
  if (recipe.name == "Q2_K") return DType::kQ3_K;
  if (recipe.name == "Q3_K_M") return layer < n_layers / 16 ? DType::kQ5_K : DType::kQ4_K;
  if (recipe.name == "Q3_K_L") return DType::kQ5_K;
  if (recipe.name == "Q4_K_M" || recipe.name == "Q5_K_M") {
    return wants_more_bits(layer, n_layers) ? DType::kQ6_K : recipe.base;
  }
  const bool raises_first =
      recipe.name == "Q4_K_S" || recipe.name == "IQ4_NL" || recipe.name == "IQ4_XS";
  return raises_first && is_first ? DType::kQ5_K : recipe.base;
}

DType attention_output(const Recipe& recipe) {
  if (recipe.name == "Q2_K") return DType::kQ3_K;
  if (recipe.name == "Q3_K_M") return DType::kQ4_K;
  if (recipe.name == "Q3_K_L") return DType::kQ5_K;
  return recipe.base;
}

bool contains(std::string_view name, std::string_view part) {
  return name.find(part) != std::string_view::npos;
}

DType small_type(const Recipe& recipe, const SmallMix& mix, std::string_view name,
                 int64_t n_layers) {
  const int64_t layer = layer_of(name);
  const bool is_first = layer < n_layers / 8;
  if (name == "output.weight") return mix.output;
  if (name == "token_embd.weight") return mix.embeddings;
  // Values: 27 of them are a thousandth of V2-Lite, and all that attention gives passes them.
  if (contains(name, ".attn_v_b.")) return DType::kQ4_K;
  if (contains(name, ".attn_q.")) return mix.queries;
  if (contains(name, ".attn_output.")) return mix.attention_output;
  if (contains(name, ".ffn_down")) return is_first ? mix.first_down : recipe.base;
  const bool is_middle = !is_first && layer < 7 * n_layers / 8;
  const bool is_gate_or_up = contains(name, ".ffn_gate") || contains(name, ".ffn_up");
  return is_gate_or_up && is_middle ? mix.middle_gate_up : recipe.base;
}

/// Formats of 32-value blocks that take the place of those of 256.
DType narrower(DType dtype) {
  switch (dtype) {
    case DType::kQ4_K:
      return DType::kQ5_0;
    case DType::kQ5_K:
      return DType::kQ5_1;
    case DType::kQ6_K:
      return DType::kQ8_0;
    case DType::kQ2_K:
    case DType::kQ3_K:
    case DType::kIQ4_XS:
      return DType::kIQ4_NL;
    default:
      return needs_importance(dtype) ? DType::kIQ4_NL : dtype;
  }
}

}  // namespace

std::span<const Recipe> recipes() noexcept { return kRecipes; }

const Recipe* find_recipe(std::string_view name) noexcept {
  // As llama-quantize takes them.
  constexpr std::array<std::pair<std::string_view, std::string_view>, 3> kShort = {
      {{"Q3_K", "Q3_K_M"}, {"Q4_K", "Q4_K_M"}, {"Q5_K", "Q5_K_M"}}};
  for (const auto& [shorter, full] : kShort) {
    if (same_ignoring_case(name, shorter)) name = full;
  }
  const auto it = std::ranges::find_if(
      kRecipes, [name](const Recipe& recipe) { return same_ignoring_case(recipe.name, name); });
  return it == kRecipes.end() ? nullptr : &*it;
}

std::string recipe_names() {
  std::string names;
  for (const Recipe& recipe : kRecipes) {
    if (!names.empty()) names += ", ";
    names += recipe.name;
  }
  return names;
}

bool stays_float(std::string_view tensor_name, const Shape& shape) noexcept {
  return shape.rank() < 2 || tensor_name.ends_with("_norm.weight") ||
         tensor_name.ends_with("ffn_gate_inp.weight");
}

DType recipe_type(const Recipe& recipe, std::string_view tensor_name, const Shape& shape,
                  int64_t n_layers) {
  if (is_float_format(recipe.base)) return recipe.base;
  if (recipe.base == DType::kMXFP4) {
    return contains(tensor_name, "_exps.") ? DType::kMXFP4 : DType::kQ8_0;
  }
  if (recipe.base == DType::kF8_E4M3) {
    // As in checkpoints of FP8.
    const bool is_bf16 = tensor_name == "output.weight" || tensor_name == "token_embd.weight";
    return is_bf16 ? DType::kBF16 : recipe.base;
  }
  const auto mix = std::ranges::find(kSmallMixes, recipe.name, &SmallMix::name);
  if (mix != kSmallMixes.end()) {
    const DType dtype = small_type(recipe, *mix, tensor_name, n_layers);
    const bool is_output = tensor_name == "output.weight";
    return is_output && !divides(dtype, shape.cols()) ? DType::kQ8_0 : dtype;
  }
  if (tensor_name == "output.weight") {
    // The largest single share of a token's error: never below 6 bits.
    const bool keeps = recipe.base == DType::kQ8_0 || !divides(recipe.base, shape.cols());
    return keeps ? DType::kQ8_0 : DType::kQ6_K;
  }
  if (contains(tensor_name, ".ffn_down")) {
    return down_projection(recipe, layer_of(tensor_name), n_layers);
  }
  return tensor_name.ends_with(".attn_output.weight") ? attention_output(recipe) : recipe.base;
}

bool needs_importance(DType dtype) noexcept {
  switch (dtype) {
    case DType::kIQ1_S:
    case DType::kIQ1_M:
    case DType::kIQ2_XXS:
    case DType::kIQ2_XS:
    case DType::kIQ2_S:
    case DType::kIQ3_XXS:
    case DType::kIQ3_S:
      return true;
    default:
      return false;
  }
}

DType fitting_type(DType wanted, int64_t cols) {
  const DType dtype = divides(wanted, cols) ? wanted : narrower(wanted);
  return divides(dtype, cols) ? dtype : DType::kF16;
}

}  // namespace minke::convert
