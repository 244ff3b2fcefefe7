#include "runtime/gguf_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <string>
#include <utility>

#include "runtime/gguf_parse.h"
#include "runtime/gguf_split.h"
#include "runtime/gguf_types.h"
#include "runtime/input_file.h"
#include "runtime/memory_nodes.h"
#include "runtime/system.h"
#include "runtime/utf8.h"

namespace minke {

using gguf::load;
using gguf::NameIndex;
using gguf::with_integer;

struct GgufFile::Impl {
  std::filesystem::path path;
  std::vector<gguf::ParsedFile> parts;  // in the order of their numbers; the first has the metadata
  std::vector<GgufTensor> tensors;
  NameIndex tensor_index;

  const gguf::ParsedFile& metadata() const noexcept { return parts.front(); }
  const Entry* find(std::string_view key) const noexcept {
    const size_t i = metadata().entry_index.find(key);
    return i == NameIndex::kNone ? nullptr : &metadata().entries[i];
  }
  tl::unexpected<Error> bad(const Entry& entry, std::string_view reason) const {
    return tl::unexpected(gguf::content_error(metadata().file, entry.encoded.data(),
                                              fmt::format("key '{}'", entry.key), reason));
  }
  /// The entry of a key that must be there.
  Result<const Entry*> require(std::string_view key) const {
    if (const Entry* entry = find(key)) return entry;
    return fail(Errc::kContent, "{}: key '{}' is missing", printable_path(path), key);
  }
  Result<const Entry*> require_array(std::string_view key, IntRange counts) const {
    MINKE_ASSIGN(const Entry* entry, require(key));
    if (entry->type != GgufType::kArray) {
      return bad(*entry,
                 fmt::format("wrong type (got {}, allowed array)", gguf::type_name(entry->type)));
    }
    if (std::cmp_less(entry->count, counts.low) || std::cmp_greater(entry->count, counts.high)) {
      return bad(*entry, fmt::format("wrong number of elements (got {}, allowed {})", entry->count,
                                     counts.low == counts.high
                                         ? std::to_string(counts.low)
                                         : fmt::format("{} to {}", counts.low, counts.high)));
    }
    return entry;
  }
};

Result<GgufFile> GgufFile::open(const std::filesystem::path& path) {
  auto impl = std::make_unique<Impl>();
  impl->path = path;
  MINKE_ASSIGN(impl->parts, gguf::open_parts(path));
  std::vector<std::string_view> names;
  for (size_t part = 0; part < impl->parts.size(); ++part) {
    for (GgufTensor& tensor : impl->parts[part].tensors) {
      tensor.part = static_cast<int>(part);
      names.push_back(tensor.name);
      impl->tensors.push_back(tensor);
    }
    impl->parts[part].tensors = {};
  }
  const size_t repeated = impl->tensor_index.build(std::move(names));
  if (repeated != NameIndex::kNone) {
    const GgufTensor& tensor = impl->tensors[repeated];
    return tl::unexpected(gguf::content_error(impl->parts[static_cast<size_t>(tensor.part)].file,
                                              tensor.name.data(),
                                              fmt::format("tensor '{}'", printable(tensor.name)),
                                              "another part of the split file has it too"));
  }
  return GgufFile(std::move(impl));
}

GgufFile::GgufFile(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
GgufFile::GgufFile(GgufFile&&) noexcept = default;
GgufFile& GgufFile::operator=(GgufFile&&) noexcept = default;
GgufFile::~GgufFile() = default;

const std::filesystem::path& GgufFile::path() const noexcept { return impl_->path; }

bool GgufFile::has(std::string_view key) const noexcept { return impl_->find(key) != nullptr; }

Result<uint64_t> GgufFile::get_uint(std::string_view key) const {
  MINKE_ASSIGN(const Entry* entry, impl_->require(key));
  uint64_t result = 0;
  std::string negative;
  const bool is_integer = with_integer(entry->type, entry->encoded.data(), [&](auto value) {
    if (std::cmp_less(value, 0)) negative = std::to_string(value);
    result = static_cast<uint64_t>(value);
  });
  if (!is_integer) {
    return impl_->bad(*entry, fmt::format("wrong type (got {}, allowed an integer)",
                                          gguf::type_name(entry->type)));
  }
  if (!negative.empty()) {
    return impl_->bad(*entry, fmt::format("is negative (got {}, allowed 0 or more)", negative));
  }
  return result;
}

Result<int64_t> GgufFile::get_int(std::string_view key) const {
  MINKE_ASSIGN(const Entry* entry, impl_->require(key));
  int64_t result = 0;
  bool fits = true;
  const bool is_integer = with_integer(entry->type, entry->encoded.data(), [&](auto value) {
    fits = std::in_range<int64_t>(value);
    result = static_cast<int64_t>(value);
  });
  if (is_integer && fits) return result;
  return impl_->bad(*entry, is_integer ? fmt::format("is too large (got {}, allowed {})",
                                                     static_cast<uint64_t>(result),
                                                     std::numeric_limits<int64_t>::max())
                                       : fmt::format("wrong type (got {}, allowed an integer)",
                                                     gguf::type_name(entry->type)));
}

Result<double> GgufFile::get_float(std::string_view key) const {
  MINKE_ASSIGN(const Entry* entry, impl_->require(key));
  if (entry->type == GgufType::kF32) return load<float>(entry->encoded.data());
  if (entry->type == GgufType::kF64) return load<double>(entry->encoded.data());
  return impl_->bad(
      *entry, fmt::format("wrong type (got {}, allowed f32 or f64)", gguf::type_name(entry->type)));
}

Result<bool> GgufFile::get_bool(std::string_view key) const {
  MINKE_ASSIGN(const Entry* entry, impl_->require(key));
  if (entry->type == GgufType::kBool) return entry->encoded[0] != std::byte{0};
  return impl_->bad(*entry,
                    fmt::format("wrong type (got {}, allowed bool)", gguf::type_name(entry->type)));
}

Result<std::string_view> GgufFile::get_string(std::string_view key) const {
  MINKE_ASSIGN(const Entry* entry, impl_->require(key));
  if (entry->type != GgufType::kString) {
    return impl_->bad(
        *entry, fmt::format("wrong type (got {}, allowed string)", gguf::type_name(entry->type)));
  }
  const auto text = entry->encoded.subspan(sizeof(uint64_t));
  return std::string_view(reinterpret_cast<const char*>(text.data()), text.size());
}

Result<uint64_t> GgufFile::get_uint_or(std::string_view key, uint64_t fallback) const {
  if (!has(key)) return fallback;
  return get_uint(key);
}

Result<double> GgufFile::get_float_or(std::string_view key, double fallback) const {
  if (!has(key)) return fallback;
  return get_float(key);
}

Result<bool> GgufFile::get_bool_or(std::string_view key, bool fallback) const {
  if (!has(key)) return fallback;
  return get_bool(key);
}

Result<std::string_view> GgufFile::get_string_or(std::string_view key,
                                                 std::string_view fallback) const {
  if (!has(key)) return fallback;
  return get_string(key);
}

Result<std::vector<std::string_view>> GgufFile::get_strings(std::string_view key,
                                                            IntRange counts) const {
  MINKE_ASSIGN(const Entry* entry, impl_->require_array(key, counts));
  if (entry->element_type != GgufType::kString) {
    return impl_->bad(*entry, fmt::format("wrong element type (got {}, allowed string)",
                                          gguf::type_name(entry->element_type)));
  }
  std::vector<std::string_view> strings;
  strings.reserve(entry->count);  // At least 8 bytes of the file each: the parser counted them.
  const std::byte* at = entry->encoded.data();
  for (uint64_t i = 0; i < entry->count; ++i) {
    const auto length = load<uint64_t>(at);
    at += sizeof(length);
    strings.emplace_back(reinterpret_cast<const char*>(at), length);
    at += length;
  }
  return strings;
}

Result<std::vector<int64_t>> GgufFile::get_ints(std::string_view key, IntRange counts) const {
  MINKE_ASSIGN(const Entry* entry, impl_->require_array(key, counts));
  const size_t size = gguf::value_bytes(entry->element_type);
  const bool is_integer = size != 0 && entry->element_type != GgufType::kBool &&
                          entry->element_type != GgufType::kF32 &&
                          entry->element_type != GgufType::kF64;
  if (!is_integer) {
    return impl_->bad(*entry, fmt::format("wrong element type (got {}, allowed an integer)",
                                          gguf::type_name(entry->element_type)));
  }
  std::vector<int64_t> values;
  values.reserve(entry->count);
  for (uint64_t i = 0; i < entry->count; ++i) {
    bool fits = true;
    with_integer(entry->element_type, entry->encoded.data() + i * size, [&](auto value) {
      fits = std::in_range<int64_t>(value);
      values.push_back(static_cast<int64_t>(value));
    });
    if (!fits) {
      return impl_->bad(*entry, fmt::format("element {} is too large (got {}, allowed {})", i,
                                            static_cast<uint64_t>(values.back()),
                                            std::numeric_limits<int64_t>::max()));
    }
  }
  return values;
}

Result<std::vector<double>> GgufFile::get_floats(std::string_view key, IntRange counts) const {
  MINKE_ASSIGN(const Entry* entry, impl_->require_array(key, counts));
  const bool single = entry->element_type == GgufType::kF32;
  if (!single && entry->element_type != GgufType::kF64) {
    return impl_->bad(*entry, fmt::format("wrong element type (got {}, allowed f32 or f64)",
                                          gguf::type_name(entry->element_type)));
  }
  std::vector<double> values;
  values.reserve(entry->count);
  const std::byte* at = entry->encoded.data();
  for (uint64_t i = 0; i < entry->count; ++i) {
    values.push_back(single ? load<float>(at + i * sizeof(float))
                            : load<double>(at + i * sizeof(double)));
  }
  return values;
}

std::span<const GgufFile::Entry> GgufFile::entries() const noexcept {
  return impl_->metadata().entries;
}

std::span<const GgufTensor> GgufFile::tensors() const noexcept { return impl_->tensors; }

const GgufTensor* GgufFile::find_tensor(std::string_view name) const noexcept {
  const size_t i = impl_->tensor_index.find(name);
  return i == NameIndex::kNone ? nullptr : &impl_->tensors[i];
}

std::vector<std::filesystem::path> GgufFile::part_paths() const {
  std::vector<std::filesystem::path> paths;
  for (const gguf::ParsedFile& part : impl_->parts) paths.push_back(part.file.path());
  return paths;
}

uint64_t GgufFile::file_bytes() const noexcept {
  uint64_t sum = 0;
  for (const gguf::ParsedFile& part : impl_->parts) sum += part.file.bytes().size();
  return sum;
}

Status GgufFile::page_in(const std::function<void(uint64_t bytes_done)>& progress) const {
  constexpr size_t kPiece = size_t{16} << 20;
  const auto& parts = impl_->parts;
  const auto is_resident = [](const gguf::ParsedFile& part) { return part.file.is_resident(); };
  if (std::ranges::all_of(parts, is_resident)) return {};
  if (file_bytes() > available_memory_bytes() / 10 * 9) return {};
  const SpreadOverNodes spread;
  uint64_t done = 0;
  for (const gguf::ParsedFile& part : parts) {
    const std::span<const std::byte> bytes = part.file.bytes();
    for (size_t at = 0; at < bytes.size(); at += kPiece) {
      const size_t n = std::min(kPiece, bytes.size() - at);
      MINKE_TRY(part.file.populate(bytes.subspan(at, n)));
      progress(done += n);
    }
  }
  return {};
}

Status GgufFile::lock() const {
  if (const uint64_t available = available_memory_bytes(); file_bytes() > available)
    return fail(Errc::kMemory, "{}: cannot keep {} bytes in memory: {} bytes are available",
                printable_path(path()), file_bytes(), available);
  for (const gguf::ParsedFile& part : impl_->parts) MINKE_TRY(part.file.lock());
  return {};
}

}  // namespace minke
