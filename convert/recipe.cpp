#include "convert/recipe.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <string>

namespace minke::convert {
namespace {

constexpr std::array kRecipes = {
    Recipe{"F32", DType::kF32, 0},        Recipe{"F16", DType::kF16, 1},
    Recipe{"BF16", DType::kBF16, 32},     Recipe{"Q8_0", DType::kQ8_0, 7},
    Recipe{"Q4_0", DType::kQ4_0, 2},      Recipe{"Q4_1", DType::kQ4_1, 3},
    Recipe{"Q5_0", DType::kQ5_0, 8},      Recipe{"Q5_1", DType::kQ5_1, 9},
    Recipe{"Q2_K", DType::kQ2_K, 10},     Recipe{"Q3_K_S", DType::kQ3_K, 11},
    Recipe{"Q3_K_M", DType::kQ3_K, 12},   Recipe{"Q3_K_L", DType::kQ3_K, 13},
    Recipe{"Q4_K_S", DType::kQ4_K, 14},   Recipe{"Q4_K_M", DType::kQ4_K, 15},
    Recipe{"Q5_K_S", DType::kQ5_K, 16},   Recipe{"Q5_K_M", DType::kQ5_K, 17},
    Recipe{"Q6_K", DType::kQ6_K, 18},     Recipe{"IQ4_NL", DType::kIQ4_NL, 25},
    Recipe{"IQ4_XS", DType::kIQ4_XS, 30},
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
      return dtype;
  }
}

}  // namespace

std::span<const Recipe> recipes() noexcept { return kRecipes; }

const Recipe* find_recipe(std::string_view name) noexcept {
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
  if (tensor_name == "output.weight") {
    // The largest single share of a token's error: never below 6 bits.
    const bool keeps = recipe.base == DType::kQ8_0 || !divides(recipe.base, shape.cols());
    return keeps ? DType::kQ8_0 : DType::kQ6_K;
  }
  if (tensor_name.find(".ffn_down") != std::string_view::npos) {
    return down_projection(recipe, layer_of(tensor_name), n_layers);
  }
  return tensor_name.ends_with(".attn_output.weight") ? attention_output(recipe) : recipe.base;
}

DType fitting_type(DType wanted, int64_t cols) {
  const DType dtype = divides(wanted, cols) ? wanted : narrower(wanted);
  return divides(dtype, cols) ? dtype : DType::kF16;
}

}  // namespace minke::convert
