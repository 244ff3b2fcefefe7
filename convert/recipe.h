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
  uint32_t file_type;  ///< general.file_type: ggml's enum llama_ftype, as stored in files.
};

/// How a user wants the weights stored.
struct TypeChoices {
  const Recipe* recipe = nullptr;  ///< None: every tensor keeps the source's type.
  bool allow_requantize = false;   ///< Of weights that are quantized already, which loses twice.
};

std::span<const Recipe> recipes() noexcept;
/// By name, case-insensitive; nullptr if there is none.
const Recipe* find_recipe(std::string_view name) noexcept;
/// "F32, F16, .." for messages.
std::string recipe_names();

/// The format of one tensor by its GGUF name: norms and the router stay F32, the output is Q6_K,
/// down projections of the first, the last and every third layer get more bits in the mixed
/// recipes. A format whose blocks do not divide the row gives way to one of 32 values, or to F16.
DType choose_dtype(const Recipe& recipe, std::string_view tensor_name, const Shape& shape,
                   int64_t n_layers);

}  // namespace minke::convert
