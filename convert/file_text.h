// Finding and reading the small files of a checkpoint's directory.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>

#include "runtime/result.h"

namespace minke::convert {

/// dir/name, for a name that a stranger's file may have given: a plain file name whose links, if it
/// is one, stay inside the directory or inside the hub cache that the directory belongs to
/// (../../blobs, where the hub's own tools keep the files of a snapshot).
/// Errors: kContent for a name or link that leads elsewhere, kMissing, kIo.
Result<std::filesystem::path> resolve_in(const std::filesystem::path& dir, const std::string& name);

/// The whole content. Errors: kMissing, kIo, kContent when it is larger than max_bytes.
Result<std::string> read_text(const std::filesystem::path& path, size_t max_bytes);

/// dir/name as resolve_in and read_text give it; nothing if there is no such file.
Result<std::optional<std::string>> read_text_if_there(const std::filesystem::path& dir,
                                                      const std::string& name, size_t max_bytes);

}  // namespace minke::convert
