#include "runtime/gguf_split.h"

#include <fmt/format.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "runtime/gguf_types.h"
#include "runtime/input_file.h"

namespace minke::gguf {
namespace fs = std::filesystem;
namespace {

/// What a part's metadata says of its set.
struct SplitKeys {
  uint64_t number = 0;  // from 0
  uint64_t count = 1;
  std::optional<uint64_t> n_tensors;  // of all parts
};

/// NAME-00002-of-00004.gguf as the rules of its name have it.
struct SplitName {
  std::string prefix;  // "NAME"
  uint64_t number;     // from 0
  uint64_t count;
};

const GgufFile::Entry* find_entry(const ParsedFile& file, std::string_view key) {
  const size_t i = file.entry_index.find(key);
  return i == NameIndex::kNone ? nullptr : &file.entries[i];
}

/// Writers use u16 and i32 for these numbers, so any integer type will do.
Result<std::optional<uint64_t>> split_number(const ParsedFile& file, std::string_view key) {
  const GgufFile::Entry* entry = find_entry(file, key);
  if (entry == nullptr) return std::nullopt;
  constexpr int kMax = 1 << 20;
  uint64_t value = 0;
  std::string out_of_range;
  const bool is_integer = with_integer(entry->type, entry->encoded.data(), [&](auto number) {
    if (std::cmp_less(number, 0) || std::cmp_greater(number, kMax)) {
      out_of_range = fmt::format("out of range (got {}, allowed 0 to {})", number, kMax);
    }
    value = static_cast<uint64_t>(number);
  });
  if (!is_integer) {
    out_of_range = fmt::format("wrong type (got {}, allowed an integer)", type_name(entry->type));
  }
  if (!out_of_range.empty()) {
    return tl::unexpected(content_error(file.file, entry->encoded.data(),
                                        fmt::format("key '{}'", key), out_of_range));
  }
  return value;
}

Result<SplitKeys> split_keys(const ParsedFile& file) {
  SplitKeys keys;
  MINKE_ASSIGN(const auto number, split_number(file, "split.no"));
  MINKE_ASSIGN(const auto count, split_number(file, "split.count"));
  MINKE_ASSIGN(keys.n_tensors, split_number(file, "split.tensors.count"));
  keys.number = number.value_or(0);
  keys.count = count.value_or(1);
  if (keys.count == 0) keys.count = 1;  // Written by some tools for "not split".
  return keys;
}

std::optional<uint64_t> five_digits(std::string_view text) {
  if (text.size() != 5) return std::nullopt;
  uint64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<uint64_t>(c - '0');
  }
  return value;
}

std::optional<SplitName> split_name(const std::string& file_name) {
  constexpr std::string_view kShape = "-00001-of-00004.gguf";
  if (file_name.size() <= kShape.size()) return std::nullopt;
  const std::string_view tail =
      std::string_view(file_name).substr(file_name.size() - kShape.size());
  const auto number = five_digits(tail.substr(1, 5));
  const auto count = five_digits(tail.substr(10, 5));
  if (tail[0] != '-' || tail.substr(6, 4) != "-of-" || tail.substr(15) != ".gguf" || !number ||
      !count || *number == 0 || *number > *count) {
    return std::nullopt;
  }
  return SplitName{file_name.substr(0, file_name.size() - kShape.size()), *number - 1, *count};
}

fs::path part_path(const fs::path& directory, const SplitName& name, uint64_t number) {
  return directory / fmt::format("{}-{:05}-of-{:05}.gguf", name.prefix, number + 1, name.count);
}

/// Checks that a part is the one that its name and the set's first look promise.
Status check_part(const ParsedFile& part, const SplitName& name, uint64_t number) {
  MINKE_ASSIGN(const SplitKeys keys, split_keys(part));
  const auto bad = [&](std::string_view key, uint64_t got, uint64_t allowed) {
    const GgufFile::Entry* entry = find_entry(part, key);
    const void* at = entry != nullptr ? entry->encoded.data() : part.file.bytes().data();
    return tl::unexpected(content_error(
        part.file, at, fmt::format("key '{}'", key),
        fmt::format("does not fit the file's name (got {}, allowed {})", got, allowed)));
  };
  if (keys.count != name.count) return bad("split.count", keys.count, name.count);
  if (keys.number != number) return bad("split.no", keys.number, number);
  return {};
}

Status check_tensor_count(const std::vector<ParsedFile>& parts) {
  uint64_t n_tensors = 0;
  for (const ParsedFile& part : parts) n_tensors += part.tensors.size();
  for (const ParsedFile& part : parts) {
    MINKE_ASSIGN(const SplitKeys keys, split_keys(part));
    if (!keys.n_tensors || *keys.n_tensors == n_tensors) continue;
    return tl::unexpected(content_error(
        part.file, find_entry(part, "split.tensors.count")->encoded.data(),
        "key 'split.tensors.count'",
        fmt::format("is not the number of tensors of all parts (got {}, the parts hold {})",
                    *keys.n_tensors, n_tensors)));
  }
  return {};
}

}  // namespace

Result<std::vector<ParsedFile>> open_parts(const fs::path& path) {
  std::vector<ParsedFile> parts;
  MINKE_ASSIGN(ParsedFile opened, parse_file(path));
  MINKE_ASSIGN(const SplitKeys keys, split_keys(opened));
  if (keys.count == 1) {
    parts.push_back(std::move(opened));
    return parts;
  }
  const auto name = split_name(path.filename().string());
  if (!name) {
    return tl::unexpected(content_error(
        opened.file, find_entry(opened, "split.count")->encoded.data(), "key 'split.count'",
        fmt::format("one of {} parts must keep its name to find the others (got '{}', allowed "
                    "'NAME-{:05}-of-{:05}.gguf')",
                    keys.count, printable_path(path.filename()), keys.number + 1, keys.count)));
  }
  for (uint64_t i = 0; i < name->count; ++i) {
    if (i == name->number) {
      // NOLINTNEXTLINE(bugprone-use-after-move): i is this part's number once
      MINKE_TRY(check_part(opened, *name, i));
      parts.push_back(std::move(opened));
      continue;
    }
    MINKE_ASSIGN(ParsedFile part, parse_file(part_path(path.parent_path(), *name, i)));
    MINKE_TRY(check_part(part, *name, i));
    parts.push_back(std::move(part));
  }
  MINKE_TRY(check_tensor_count(parts));
  return parts;
}

}  // namespace minke::gguf
