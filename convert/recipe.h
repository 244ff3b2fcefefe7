// Which block format each tensor of a file gets.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "quant/format.h"
#include "runtime/tensor.h"

namespace minke::convert {

/// A named choice of formats, as users of GGUF files know them ("Q4_K_M").
struct Recipe {
  std::string_view name;
  DType base;
  uint32_t file_type;  ///< general.file_type: ggml's enum llama_ftype, as stored in files. Where it
                       ///< has none, the base's id.
};

std::span<const Recipe> recipes() noexcept;
/// By name, case-insensitive; nullptr if there is none.
const Recipe* find_recipe(std::string_view name) noexcept;
/// "F32, F16, .." for messages.
std::string recipe_names();

/// Norms, other vectors and the router, which are F32 in every recipe.
bool stays_float(std::string_view tensor_name, const Shape& shape) noexcept;

/// What a recipe wants for a matrix by its GGUF name, whatever its row length: the output is Q6_K,
/// down projections of the first, the last and every third layer get more bits in the mixed
/// recipes. Those of the IQ1, IQ2 and IQ3 formats store what is small and counts much in larger
/// types, as llama.cpp does; MXFP4_MOE is for the experts, all
/// else is Q8_0. F8_E4M3 leaves embeddings and the output in BF16.
DType recipe_type(const Recipe& recipe, std::string_view tensor_name, const Shape& shape,
                  int64_t n_layers);

/// Formats of so few bits that they are worthless unless errors are put where they matter least:
/// the IQ1, IQ2 and IQ3 ones.
bool needs_importance(DType dtype) noexcept;

/// The type itself if its blocks divide a row of `cols` values; else one of blocks of 32 values
/// that takes its place, or F16.
DType fitting_type(DType wanted, int64_t cols);

}  // namespace minke::convert
