#include <algorithm>
#include <bit>

#include "runtime/gguf_parser.h"
#include "runtime/utf8.h"

namespace minke::gguf {

static_assert(std::endian::native == std::endian::little, "GGUF files are little-endian");

Status Parser::check_magic() {
  const auto bytes = out_.file.bytes();
  const std::string_view start(reinterpret_cast<const char*>(bytes.data()),
                               std::min<size_t>(bytes.size(), 24));
  if (start.starts_with("GGUF")) return {};
  std::string_view hint;
  if (start.starts_with("version https://git-lfs")) {
    hint = "; this is a Git LFS pointer, the file itself was not downloaded";
  } else if (start.starts_with("<!") || start.starts_with("<htm")) {
    hint = "; this is a web page, perhaps of a failed download";
  } else if (start.starts_with("lmgg") || start.starts_with("tjgg") || start.starts_with("fmgg")) {
    hint = "; this is an older GGML format";
  } else if (start.starts_with("FUGG")) {
    hint = "; this is a byte-swapped file";
  }
  return bad(bytes.data(), fmt::format("not a GGUF file{} (got '{}', allowed 'GGUF')", hint,
                                       printable(start.substr(0, 4))));
}

Status Parser::check_version(uint32_t version) {
  if (version >= kMinVersion && version <= kVersion) return {};
  const std::byte* at = cursor_.here() - sizeof(version);
  const uint32_t swapped =
      (version >> 24) | ((version >> 8) & 0xFF00U) | ((version << 8) & 0xFF0000U) | (version << 24);
  if (swapped >= 1 && swapped <= kVersion) {
    return bad(at, fmt::format("a big-endian file, which Minke does not read (got version bytes of "
                               "{:#010x}, allowed 2 or 3 in little-endian order)",
                               version));
  }
  return bad(at, fmt::format("unknown version of GGUF (got {}, allowed 2 or 3)", version));
}

/// Reads a count of records and checks it against the bytes left: nothing is believed before.
Status Parser::count(uint64_t& n, std::string_view what, uint64_t record_bytes) {
  const std::byte* at = cursor_.here();
  MINKE_TRY(read(n, what));
  const uint64_t limit = cursor_.left() / record_bytes;
  if (n > limit) {
    return bad(at,
               fmt::format("{} is more than the rest of the file can hold, which may be cut off "
                           "(got {}, allowed {})",
                           what, n, limit));
  }
  return {};
}

Status Parser::header() {
  MINKE_TRY(check_magic());
  cursor_.skip(4);
  uint32_t version = 0;
  MINKE_TRY(read(version, "the version"));
  MINKE_TRY(check_version(version));
  // The smallest records: a tensor has a name of one byte and one dimension, a key has one byte and
  // a value of one byte.
  constexpr uint64_t kMinTensorBytes = 8 + 1 + 4 + 8 + 4 + 8;
  constexpr uint64_t kMinEntryBytes = 8 + 1 + 4 + 1;
  MINKE_TRY(count(n_tensors_, "the number of tensors", kMinTensorBytes));
  MINKE_TRY(count(n_entries_, "the number of keys", kMinEntryBytes));
  if (n_tensors_ > kMaxRecords || n_entries_ > kMaxRecords) {
    return bad(cursor_.here() - 16, fmt::format("too many records (got {} tensors and {} keys, "
                                                "allowed {} of each)",
                                                n_tensors_, n_entries_, kMaxRecords));
  }
  return {};
}

Status Parser::name(std::string_view& name) {
  const std::byte* at = cursor_.here();
  uint64_t length = 0;
  MINKE_TRY(read(length, "the length of the name"));
  if (length == 0 || length > kMaxNameBytes) {
    return bad(at, fmt::format("bad length of the name (got {}, allowed 1 to {} bytes)", length,
                               kMaxNameBytes));
  }
  const std::string_view text(reinterpret_cast<const char*>(cursor_.here()),
                              std::min(length, cursor_.left()));
  if (!cursor_.skip(length)) return truncated("the name", length);
  if (text.find('\0') != std::string_view::npos) {
    return bad(text.data(), fmt::format("the name '{}' holds a NUL character", printable(text)));
  }
  if (!is_valid_utf8(text)) {
    return bad(text.data(), fmt::format("the name '{}' is not valid UTF-8", printable(text)));
  }
  name = text;
  return {};
}

Status Parser::entry(uint64_t number) {
  subject_ = {.kind = "key", .number = number};
  std::string_view key;
  MINKE_TRY(name(key));
  subject_.name = key;
  GgufType type{};
  MINKE_TRY(read(type, "the type of the value"));
  GgufFile::Entry entry{key, type, type, 1, {}};
  const std::byte* start = cursor_.here();
  if (type == GgufType::kArray) {
    MINKE_TRY(array(1, &entry));
    start += min_value_bytes(GgufType::kArray);  // `encoded` holds the elements only.
  } else {
    MINKE_TRY(value(type, 0));
  }
  entry.encoded = {start, cursor_.here()};
  out_.entries.push_back(entry);
  return {};
}

Status Parser::value(GgufType type, int depth) {
  if (type == GgufType::kString) return string_value();
  if (type == GgufType::kArray) return array(depth + 1, nullptr);
  const size_t size = value_bytes(type);
  if (size == 0) {
    return bad(cursor_.here() - sizeof(type),
               fmt::format("unknown type of value (got {}, allowed 0 to 12)",
                           static_cast<uint32_t>(type)));
  }
  const std::byte* at = cursor_.here();
  if (!cursor_.skip(size)) return truncated("the value", size);
  if (type == GgufType::kBool) return bools({at, 1});
  return {};
}

Status Parser::string_value() {
  const std::byte* at = cursor_.here();
  uint64_t length = 0;
  MINKE_TRY(read(length, "the length of a string"));
  if (!cursor_.skip(length)) {
    return bad(at, fmt::format("a string is longer than the rest of the file, which may be cut off "
                               "(got {} bytes, allowed {})",
                               length, cursor_.left()));
  }
  return {};
}

/// Every value of a bool is 0 or 1, so that readers need not ask again.
Status Parser::bools(std::span<const std::byte> values) const {
  for (const std::byte& value : values) {
    if (value > std::byte{1}) {
      return bad(&value, fmt::format("bad value of a bool (got {}, allowed 0 or 1)",
                                     std::to_integer<int>(value)));
    }
  }
  return {};
}

Status Parser::array(int depth, GgufFile::Entry* entry) {
  const std::byte* at = cursor_.here();
  if (depth > kMaxArrayDepth) {
    return bad(at,
               fmt::format("arrays nested too deep (got {}, allowed {})", depth, kMaxArrayDepth));
  }
  GgufType type{};
  MINKE_TRY(read(type, "the element type of an array"));
  const size_t min_bytes = min_value_bytes(type);
  if (min_bytes == 0) {
    return bad(at, fmt::format("unknown element type of an array (got {}, allowed 0 to 12)",
                               static_cast<uint32_t>(type)));
  }
  uint64_t n = 0;
  MINKE_TRY(count(n, "the number of elements", min_bytes));
  if (entry != nullptr) {
    entry->element_type = type;
    entry->count = n;
  }
  if (const size_t size = value_bytes(type); size != 0) {
    const std::byte* values = cursor_.here();
    cursor_.skip(n * size);  // count() checked that it fits.
    return type == GgufType::kBool ? bools({values, n}) : Status{};
  }
  for (uint64_t i = 0; i < n; ++i) MINKE_TRY(value(type, depth));
  return {};
}

Status Parser::index_entries() {
  std::vector<std::string_view> names;
  names.reserve(out_.entries.size());
  for (const GgufFile::Entry& entry : out_.entries) names.push_back(entry.key);
  const size_t repeated = out_.entry_index.build(std::move(names));
  if (repeated == NameIndex::kNone) return {};
  subject_ = {"key", out_.entries[repeated].key};
  return bad(subject_.name.data(), "a second key of this name (got 2, allowed 1)");
}

Status Parser::find_alignment() {
  const size_t i = out_.entry_index.find("general.alignment");
  if (i == NameIndex::kNone) return {};
  const GgufFile::Entry& entry = out_.entries[i];
  subject_ = {"key", entry.key};
  if (entry.type != GgufType::kU32) {
    return bad(entry.encoded.data(),
               fmt::format("bad type (got {}, allowed u32)", type_name(entry.type)));
  }
  uint32_t value = 0;
  std::memcpy(&value, entry.encoded.data(), sizeof(value));
  if (!std::has_single_bit(value) || value < kMinAlignment || value > kMaxAlignment) {
    return bad(entry.encoded.data(),
               fmt::format("bad alignment (got {}, allowed a power of two from {} to {})", value,
                           kMinAlignment, kMaxAlignment));
  }
  alignment_ = value;
  return {};
}

}  // namespace minke::gguf
