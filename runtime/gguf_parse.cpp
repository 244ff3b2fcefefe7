#include "runtime/gguf_parse.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "runtime/gguf_parser.h"
#include "runtime/input_file.h"
#include "runtime/utf8.h"

namespace minke::gguf {

size_t NameIndex::build(std::vector<std::string_view> names) {
  positions_.resize(names.size());
  std::iota(positions_.begin(), positions_.end(), 0U);
  std::ranges::sort(positions_, [&names](uint32_t a, uint32_t b) {
    const int order = names[a].compare(names[b]);
    return order != 0 ? order < 0 : a < b;
  });
  names_.resize(names.size());
  size_t repeated = kNone;
  for (size_t i = 0; i < names.size(); ++i) {
    names_[i] = names[positions_[i]];
    if (i > 0 && names_[i] == names_[i - 1]) repeated = std::min<size_t>(repeated, positions_[i]);
  }
  return repeated;
}

size_t NameIndex::find(std::string_view name) const noexcept {
  const auto it = std::ranges::lower_bound(names_, name);
  if (it == names_.end() || *it != name) return kNone;
  return positions_[static_cast<size_t>(it - names_.begin())];
}

std::string Subject::text() const {
  if (!name.empty()) return fmt::format("{} '{}'", kind, printable(name));
  return number ? fmt::format("{} number {}", kind, *number) : std::string(kind);
}

Result<ParsedFile> Parser::run() {
  MINKE_TRY(header());
  for (uint64_t i = 0; i < n_entries_; ++i) MINKE_TRY(entry(i));
  MINKE_TRY(index_entries());
  MINKE_TRY(find_alignment());
  for (uint64_t i = 0; i < n_tensors_; ++i) MINKE_TRY(tensor_info(i));
  MINKE_TRY(check_tensor_names());
  MINKE_TRY(place_tensors());
  return std::move(out_);
}

Error content_error(const MappedFile& file, const void* at, std::string_view subject,
                    std::string_view reason) {
  const auto offset = static_cast<const std::byte*>(at) - file.bytes().data();
  return {Errc::kContent, fmt::format("{}: offset {:#x}: {}: {}", printable_path(file.path()),
                                      offset, subject, reason)};
}

Result<ParsedFile> parse_file(const std::filesystem::path& path) {
  MINKE_ASSIGN(MappedFile file, MappedFile::open(path));
  return Parser(std::move(file)).run();
}

}  // namespace minke::gguf
