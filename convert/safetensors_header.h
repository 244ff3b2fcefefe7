// The JSON header of a safetensors file, read in one pass without building a document: a header may
// have 100 MB.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "convert/safetensors.h"

namespace minke::convert {

/// nullptr for a name that the format does not have.
const SourceType* find_source_type(std::string_view name) noexcept;

/// Tensors in the header's order, with offsets from the start of the data section; neither offsets
/// nor names are checked against each other. `file` names the file in errors. Errors: kContent.
Result<std::vector<SafeTensor>> parse_safetensors_header(std::string_view text,
                                                         const std::string& file);

}  // namespace minke::convert
