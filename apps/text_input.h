// Texts that a user hands in, as files or through a pipe.
#pragma once

#include <filesystem>
#include <string>

#include "runtime/result.h"

namespace minke::apps {

/// Texts are at most so long: far more than any context holds.
inline constexpr size_t kMaxTextBytes = size_t{256} << 20;

/// The whole file, which must be UTF-8. A byte order mark at its start is left out, and so is one
/// line end at its end. Errors: kMissing, kIo, kContent (not UTF-8, with the offset; too long).
Result<std::string> read_text_file(const std::filesystem::path& path);
/// The same of the standard input.
Result<std::string> read_stdin();
/// The bytes of a file as they are. Errors: kMissing, kIo, kContent (too long).
Result<std::string> read_bytes(const std::filesystem::path& path, size_t max_bytes);

}  // namespace minke::apps
