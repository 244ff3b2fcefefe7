// How a user wants weights stored: a recipe, and what is changed in it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "convert/auto_types.h"
#include "convert/recipe.h"
#include "quant/format.h"
#include "runtime/regex.h"
#include "runtime/result.h"
#include "runtime/tensor.h"

namespace minke::convert {

/// The type of all tensors in whose GGUF names a pattern is found.
class TypeRule {
 public:
  /// "REGEX=TYPE", with a regular expression as Perl has it. Errors: kUsage.
  static Result<TypeRule> parse(std::string_view text);

  const std::string& text() const noexcept { return text_; }
  DType dtype() const noexcept { return dtype_; }
  bool matches(std::string_view tensor_name) const { return pattern_.found_in(tensor_name); }

 private:
  TypeRule(std::string_view text, Regex pattern, DType dtype)
      : text_(text), pattern_(std::move(pattern)), dtype_(dtype) {}

  std::string text_;
  Regex pattern_;
  DType dtype_;
};

struct TypeChoices {
  const Recipe* recipe = nullptr;  ///< None: tensors keep the source's types.
  bool pure = false;               ///< The recipe's base type for every matrix.
  bool allow_requantize = false;   ///< Of weights that are quantized already, which loses twice.
  std::optional<DType> output{};   ///< Of the matrix that gives the logits.
  bool leave_output = false;       ///< That matrix keeps the source's type.
  std::optional<DType> token_embedding{};
  std::vector<TypeRule> rules{};       ///< The first that matches counts, before all of the above.
  std::optional<SizeBudget> budget{};  ///< Without a recipe: the best types of this size.
};

struct ChosenType {
  DType dtype = DType::kF32;
  DType wanted = DType::kF32;  ///< Differs where the rows are not whole blocks of it.
  bool fixed = false;          ///< A size budget has no say: named by the user, or stays float.
};

/// The type of one tensor by its GGUF name; `source` has the source's type where it is GGUF's.
/// Norms, other vectors and the router are F32 whatever the choices. `is_output`: the tensor gives
/// the logits ("output", or tied embeddings).
ChosenType choose_type(const TypeChoices& choices, std::string_view tensor_name,
                       const TensorDesc& source, int64_t n_layers, bool is_output);

/// Error kUsage for a rule that no tensor matches whose type can be chosen: a name that is wrong.
Status check_rules(const TypeChoices& choices, const std::vector<std::string_view>& tensor_names);

}  // namespace minke::convert
