// Split GGUF files: NAME-00001-of-00004.gguf, each a GGUF file of its own, with split.no (from 0),
// split.count and split.tensors.count (of all parts). The first part has the model's metadata.
#pragma once

#include <filesystem>
#include <vector>

#include "runtime/gguf_parse.h"
#include "runtime/result.h"

namespace minke::gguf {

/// The file, or all parts of its set in order when split.count says that it is one of several.
/// Errors: see GgufFile::open; kMissing names the part that is not there.
Result<std::vector<ParsedFile>> open_parts(const std::filesystem::path& path);

}  // namespace minke::gguf
