#include "convert/type_choices.h"

#include <algorithm>
#include <utility>

#include "runtime/utf8.h"

namespace minke::convert {
namespace {

std::string format_names() {
  std::string names;
  for (const FormatTraits& format : formats()) {
    if (!names.empty()) names += ", ";
    names += format.name;
  }
  return names;
}

/// What a user says of this tensor alone.
std::optional<DType> named_type(const TypeChoices& choices, std::string_view name, DType source,
                                bool is_output) {
  for (const TypeRule& rule : choices.rules) {
    if (rule.matches(name)) return rule.dtype();
  }
  if (choices.token_embedding && name == "token_embd.weight") return choices.token_embedding;
  if (!is_output || choices.output) return is_output ? choices.output : std::nullopt;
  return choices.leave_output ? std::optional(source) : std::nullopt;
}

DType recipe_wants(const TypeChoices& choices, std::string_view name, const TensorDesc& source,
                   int64_t n_layers, bool is_output) {
  if (choices.recipe == nullptr) return source.dtype;
  if (choices.pure) return choices.recipe->base;
  return recipe_type(*choices.recipe, is_output ? "output.weight" : name, source.shape, n_layers);
}

}  // namespace

Result<TypeRule> TypeRule::parse(std::string_view text) {
  const size_t equals = text.rfind('=');
  if (equals == std::string_view::npos || equals == 0) {
    return fail(Errc::kUsage, "'{}': not REGEX=TYPE", printable(text));
  }
  const std::string_view type = text.substr(equals + 1);
  const FormatTraits* format = find_format(type);
  if (format == nullptr) {
    return fail(Errc::kUsage, "'{}': unknown type '{}' (known: {})", printable(text),
                printable(type), format_names());
  }
  auto pattern = Regex::compile(text.substr(0, equals));
  if (!pattern) {
    return fail(Errc::kUsage, "'{}': not a regular expression: {}", printable(text),
                pattern.error().message);
  }
  return TypeRule(text, std::move(*pattern), format->dtype);
}

ChosenType choose_type(const TypeChoices& choices, std::string_view tensor_name,
                       const TensorDesc& source, int64_t n_layers, bool is_output) {
  if (stays_float(tensor_name, source.shape)) {
    // A copy of a file that keeps its norms in another type is still a copy.
    const bool is_copy = choices.recipe == nullptr && !choices.budget;
    const DType dtype = is_copy ? source.dtype : DType::kF32;
    return {dtype, dtype, true};
  }
  const std::optional<DType> named = named_type(choices, tensor_name, source.dtype, is_output);
  const DType wanted =
      named ? *named : recipe_wants(choices, tensor_name, source, n_layers, is_output);
  return {fitting_type(wanted, source.shape.cols()), wanted, named.has_value()};
}

Status check_rules(const TypeChoices& choices, const std::vector<std::string_view>& tensor_names) {
  for (const TypeRule& rule : choices.rules) {
    if (std::ranges::any_of(tensor_names, [&](auto name) { return rule.matches(name); })) continue;
    return fail(Errc::kUsage,
                "--tensor-type '{}': no matrix has such a name (norms and the router are F32)",
                printable(rule.text()));
  }
  return {};
}

}  // namespace minke::convert
