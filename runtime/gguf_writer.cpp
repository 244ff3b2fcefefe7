#include "runtime/gguf_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <type_traits>
#include <utility>
#include <vector>

#include "runtime/gguf_types.h"

namespace minke {
namespace {

uint64_t align_up(uint64_t value) noexcept {
  return (value + GgufWriter::kAlignment - 1) / GgufWriter::kAlignment * GgufWriter::kAlignment;
}

template <class T>
void put(std::string& out, T value) {
  static_assert(std::is_arithmetic_v<T> || std::is_enum_v<T>);
  std::array<char, sizeof(T)> bytes;
  std::memcpy(bytes.data(), &value, sizeof(T));
  out.append(bytes.data(), bytes.size());
}

void put_string(std::string& out, std::string_view text) {
  put(out, static_cast<uint64_t>(text.size()));
  out += text;
}

std::string encoded(std::span<const std::string> values) {
  std::string out;
  for (const std::string& value : values) put_string(out, value);
  return out;
}

/// Where the elements of an array of strings stand in the encoded entries.
struct LateStrings {
  uint64_t begin;
  uint64_t n_bytes;
};

}  // namespace

struct GgufWriter::Impl {
  explicit Impl(AtomicFile f) : file(std::move(f)) {}

  AtomicFile file;
  std::string entries;  // encoded
  uint64_t n_entries = 0;
  std::string infos;  // encoded
  std::vector<uint64_t> sizes;
  uint64_t data_bytes = 0;  // of the tensors declared so far, padded
  std::set<std::string, std::less<>> keys;
  std::map<std::string, LateStrings, std::less<>> late;
  std::set<std::string, std::less<>> names;
  bool in_data = false;
  size_t current = 0;  // the tensor that write() goes on with
  uint64_t current_done = 0;
  bool keeps_hashes = false;
  uint64_t hashes_offset = 0;  // in the file
  Sha256 hash;                 // of the current tensor
  std::vector<Sha256Digest> digests;

  static constexpr uint64_t kHeaderBytes = 4 + 4 + 8 + 8;

  /// Starts an entry; its value's bytes follow.
  std::string& key(std::string_view key, GgufType type) {
    MINKE_CHECK(!in_data, "key '{}' after begin_data()", key);
    MINKE_CHECK(!key.empty() && key.size() <= gguf::kMaxNameBytes, "key '{}'", key);
    MINKE_CHECK(keys.emplace(key).second, "key '{}' is set twice", key);
    ++n_entries;
    put_string(entries, key);
    put(entries, type);
    return entries;
  }
  std::string& array(std::string_view name, GgufType element_type, uint64_t n) {
    std::string& out = key(name, GgufType::kArray);
    put(out, element_type);
    put(out, n);
    return out;
  }
  /// Everything before the data, with zeros where finish() fills in the hashes.
  std::string header() const {
    std::string out = "GGUF";
    put(out, gguf::kVersion);
    put(out, static_cast<uint64_t>(sizes.size()));
    put(out, n_entries + (keeps_hashes ? 1 : 0));
    out += entries;
    if (keeps_hashes) {
      put_string(out, kHashesKey);
      put(out, GgufType::kArray);
      put(out, GgufType::kU8);
      put(out, static_cast<uint64_t>(hash_bytes()));
      out.append(hash_bytes(), '\0');
    }
    out += infos;
    out.resize(align_up(out.size()));
    return out;
  }
  size_t hash_bytes() const noexcept { return sizes.size() * sizeof(Sha256Digest); }
  /// No more keys and tensors after this.
  void enter_data() {
    in_data = true;
    constexpr uint64_t kBeforeHashes = 8 + kHashesKey.size() + 4 + 4 + 8;
    hashes_offset = kHeaderBytes + entries.size() + kBeforeHashes;
  }
  /// The digest of bytes of a kept partial file; nothing if it ends before them.
  Result<std::optional<Sha256Digest>> digest_back(uint64_t begin, uint64_t n_bytes) {
    if (begin + align_up(n_bytes) > file.size_bytes()) return std::nullopt;
    std::vector<std::byte> bytes;
    for (uint64_t at = 0; at < n_bytes; at += bytes.size()) {
      bytes.resize(std::min<uint64_t>(n_bytes - at, 1 << 20));
      MINKE_TRY(file.read_back(begin + at, bytes));
      hash.update(bytes);
    }
    return hash.finish();
  }
  Status pad(uint64_t from) {
    static constexpr std::array<std::byte, kAlignment> kZeros{};
    return file.write(std::span(kZeros).first(align_up(from) - from));
  }
  /// Closes the current tensor once it is complete; a tensor is never empty.
  Status next_tensor() {
    if (keeps_hashes) digests.push_back(hash.finish());
    MINKE_TRY(pad(current_done));
    ++current;
    current_done = 0;
    return {};
  }
};

Result<GgufWriter> GgufWriter::create(const std::filesystem::path& path,
                                      AtomicFile::Leftover leftover) {
  MINKE_ASSIGN(AtomicFile file, AtomicFile::create(path, leftover));
  return GgufWriter(std::make_unique<Impl>(std::move(file)));
}

GgufWriter::GgufWriter(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
GgufWriter::GgufWriter(GgufWriter&&) noexcept = default;
GgufWriter& GgufWriter::operator=(GgufWriter&&) noexcept = default;
GgufWriter::~GgufWriter() = default;

void GgufWriter::set_u32(std::string_view key, uint32_t value) {
  put(impl_->key(key, GgufType::kU32), value);
}

void GgufWriter::set_u64(std::string_view key, uint64_t value) {
  put(impl_->key(key, GgufType::kU64), value);
}

void GgufWriter::set_f32(std::string_view key, float value) {
  put(impl_->key(key, GgufType::kF32), value);
}

void GgufWriter::set_bool(std::string_view key, bool value) {
  put(impl_->key(key, GgufType::kBool), static_cast<uint8_t>(value));
}

void GgufWriter::set_string(std::string_view key, std::string_view value) {
  put_string(impl_->key(key, GgufType::kString), value);
}

void GgufWriter::set_strings(std::string_view key, std::span<const std::string> values) {
  impl_->array(key, GgufType::kString, values.size()) += encoded(values);
}

void GgufWriter::set_late_strings(std::string_view key, std::span<const std::string> values) {
  set_strings(key, values);
  const uint64_t n_bytes = encoded(values).size();
  impl_->late.emplace(key, LateStrings{impl_->entries.size() - n_bytes, n_bytes});
}

void GgufWriter::set_i32s(std::string_view key, std::span<const int32_t> values) {
  std::string& out = impl_->array(key, GgufType::kI32, values.size());
  for (const int32_t value : values) put(out, value);
}

void GgufWriter::set_f32s(std::string_view key, std::span<const float> values) {
  std::string& out = impl_->array(key, GgufType::kF32, values.size());
  for (const float value : values) put(out, value);
}

void GgufWriter::set_entry(const GgufFile::Entry& entry) {
  const bool is_layout = entry.key == "general.alignment" || entry.key.starts_with("split.") ||
                         entry.key == kHashesKey;
  if (is_layout) return;
  std::string& out = entry.type == GgufType::kArray
                         ? impl_->array(entry.key, entry.element_type, entry.count)
                         : impl_->key(entry.key, entry.type);
  out.append(reinterpret_cast<const char*>(entry.encoded.data()), entry.encoded.size());
}

void GgufWriter::keep_hashes() { impl_->keeps_hashes = true; }

void GgufWriter::add_tensor(std::string_view name, const TensorDesc& desc) {
  MINKE_CHECK(!impl_->in_data, "tensor '{}' after begin_data()", name);
  MINKE_CHECK(!name.empty() && name.size() <= gguf::kMaxNameBytes, "tensor '{}'", name);
  MINKE_CHECK(impl_->names.emplace(name).second, "tensor '{}' is declared twice", name);
  const FormatTraits* format = find_format(desc.dtype);
  MINKE_CHECK(format != nullptr && desc.shape.rank() >= 1 && desc.shape.elements() > 0 &&
                  static_cast<size_t>(desc.shape.cols()) % format->block_len == 0,
              "tensor '{}': {} {}", name, dtype_name(desc.dtype), to_string(desc.shape));
  std::string& out = impl_->infos;
  put_string(out, name);
  put(out, static_cast<uint32_t>(desc.shape.rank()));
  for (int i = desc.shape.rank() - 1; i >= 0; --i) put(out, static_cast<uint64_t>(desc.shape[i]));
  put(out, desc.dtype);
  put(out, impl_->data_bytes);
  impl_->sizes.push_back(desc.bytes());
  impl_->data_bytes += align_up(desc.bytes());
}

uint64_t GgufWriter::planned_bytes() const { return impl_->header().size() + impl_->data_bytes; }

Sha256Digest GgufWriter::header_digest() const {
  Sha256 hash;
  const std::string header = impl_->header();
  hash.update(std::as_bytes(std::span(header)));
  return hash.finish();
}

Status GgufWriter::begin_data() {
  MINKE_CHECK(!impl_->in_data, "begin_data() twice");
  const std::string header = impl_->header();
  impl_->enter_data();
  MINKE_TRY(impl_->file.truncate(0));
  MINKE_TRY(impl_->file.check_space(header.size() + impl_->data_bytes));
  return impl_->file.write(header);
}

Result<size_t> GgufWriter::resume_data(std::span<const Sha256Digest> done) {
  Impl& impl = *impl_;
  MINKE_CHECK(impl.keeps_hashes && done.size() <= impl.sizes.size(), "{} digests", done.size());
  const std::string header = impl.header();
  uint64_t end = header.size();
  while (impl.digests.size() < done.size()) {
    const size_t i = impl.digests.size();
    MINKE_ASSIGN(const auto digest, impl.digest_back(end, impl.sizes[i]));
    if (digest != done[i]) break;
    impl.digests.push_back(done[i]);
    end += align_up(impl.sizes[i]);
  }
  if (impl.digests.empty()) {
    MINKE_TRY(begin_data());
    return 0;
  }
  impl.enter_data();
  impl.current = impl.digests.size();
  MINKE_TRY(impl.file.truncate(end));
  MINKE_TRY(impl.file.check_space(header.size() + impl.data_bytes - end));
  MINKE_TRY(impl.file.overwrite(0, std::as_bytes(std::span(header))));
  return impl.current;
}

std::span<const Sha256Digest> GgufWriter::digests() const noexcept { return impl_->digests; }

void GgufWriter::keep_partial(bool keep) noexcept { impl_->file.keep_partial(keep); }

bool GgufWriter::has_failed() const noexcept { return impl_->file.has_failed(); }

Status GgufWriter::write(std::span<const std::byte> bytes) {
  Impl& impl = *impl_;
  MINKE_CHECK(impl.in_data && impl.current < impl.sizes.size(), "no tensor to write to");
  const uint64_t left = impl.sizes[impl.current] - impl.current_done;
  MINKE_CHECK(bytes.size() <= left, "{} bytes for tensor {}, {} are left", bytes.size(),
              impl.current, left);
  MINKE_TRY(impl.file.write(bytes));
  if (impl.keeps_hashes) impl.hash.update(bytes);
  impl.current_done += bytes.size();
  return bytes.size() == left ? impl.next_tensor() : Status{};
}

Status GgufWriter::replace_strings(std::string_view key, std::span<const std::string> values) {
  const auto late = impl_->late.find(key);
  const std::string bytes = encoded(values);
  MINKE_CHECK(impl_->in_data && late != impl_->late.end() && late->second.n_bytes == bytes.size(),
              "key '{}': {} bytes", key, bytes.size());
  return impl_->file.overwrite(Impl::kHeaderBytes + late->second.begin,
                               std::as_bytes(std::span(bytes)));
}

Status GgufWriter::flush() { return impl_->file.flush(); }

Status GgufWriter::finish(AtomicFile::Existing existing) {
  MINKE_CHECK(impl_->in_data && impl_->current == impl_->sizes.size(),
              "{} of {} tensors are complete", impl_->current, impl_->sizes.size());
  if (impl_->keeps_hashes) {
    MINKE_TRY(
        impl_->file.overwrite(impl_->hashes_offset, std::as_bytes(std::span(impl_->digests))));
  }
  return impl_->file.commit(existing);
}

}  // namespace minke
