// The structure of one GGUF file, checked: what GgufFile is made of, one for each part.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

#include "runtime/gguf_reader.h"
#include "runtime/mmap.h"
#include "runtime/result.h"

namespace minke::gguf {

/// Finds names in O(log n). Sorted rather than hashed: a file cannot choose names that collide.
class NameIndex {
 public:
  static constexpr size_t kNone = SIZE_MAX;

  /// Returns the position of the first name that repeats an earlier one, or kNone. At most 2^32
  /// names.
  size_t build(std::vector<std::string_view> names);
  /// The position of `name` among the names of build(), or kNone.
  size_t find(std::string_view name) const noexcept;

 private:
  std::vector<std::string_view> names_;  // sorted
  std::vector<uint32_t> positions_;      // of names_[i] in build()'s argument
};

struct ParsedFile {
  MappedFile file;
  std::vector<GgufFile::Entry> entries;  ///< In file order; keys are unique.
  std::vector<GgufTensor> tensors;       ///< In file order; names are unique.
  NameIndex entry_index;
};

/// Maps and checks one file. Errors: see GgufFile::open.
Result<ParsedFile> parse_file(const std::filesystem::path& path);

/// kContent, "FILE: offset 0x..: SUBJECT: REASON"; `at` points into the file's bytes.
Error content_error(const MappedFile& file, const void* at, std::string_view subject,
                    std::string_view reason);

}  // namespace minke::gguf
