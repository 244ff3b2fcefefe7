// Writes GGUF bytes by hand, well-formed or broken on purpose; independent of runtime/gguf_writer.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "runtime/gguf_reader.h"

namespace minke::test {

/// A number's bytes, little-endian.
template <class T>
std::string le(T value) {
  static_assert(std::is_arithmetic_v<T> || std::is_enum_v<T>);
  std::string bytes(sizeof(T), '\0');
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

/// A string as files store it: u64 length, bytes.
inline std::string gguf_string(std::string_view text) {
  return le(static_cast<uint64_t>(text.size())).append(text);
}

class GgufBuilder {
 public:
  // What build() writes unless a test says otherwise.
  std::string magic = "GGUF";
  uint32_t version = 3;
  std::optional<uint64_t> n_tensors;  ///< Instead of the true number.
  std::optional<uint64_t> n_keys;     ///< Instead of the true number.
  uint64_t alignment = 32;            ///< Of the data; does not write general.alignment.
  std::string trailer;                ///< Bytes after the data.

  /// A key with any value bytes.
  GgufBuilder& raw(std::string_view key, uint32_t type, std::string_view bytes) {
    return entry(gguf_string(key) + le(type) + std::string(bytes));
  }
  /// A whole entry's bytes, key and type included.
  GgufBuilder& entry(std::string bytes) {
    entries_.push_back(std::move(bytes));
    return *this;
  }
  GgufBuilder& u32(std::string_view key, uint32_t value) { return raw(key, 4, le(value)); }
  GgufBuilder& f32(std::string_view key, float value) { return raw(key, 6, le(value)); }
  GgufBuilder& boolean(std::string_view key, bool value) {
    return raw(key, 7, le(static_cast<uint8_t>(value)));
  }
  GgufBuilder& string(std::string_view key, std::string_view value) {
    return raw(key, 8, gguf_string(value));
  }
  GgufBuilder& strings(std::string_view key, const std::vector<std::string>& values) {
    std::string bytes;
    for (const std::string& value : values) bytes += gguf_string(value);
    return array(key, 8, values.size(), bytes);
  }
  GgufBuilder& array(std::string_view key, uint32_t element_type, uint64_t n,
                     std::string_view bytes) {
    return raw(key, 9, le(element_type) + le(n) + std::string(bytes));
  }
  /// Removes an entry by its key, for "the same file without it".
  GgufBuilder& without(std::string_view key) {
    std::erase_if(entries_, [&](const std::string& e) { return e.starts_with(gguf_string(key)); });
    return *this;
  }

  /// A tensor with dims as the file has them (row length first); `data` is its bytes.
  GgufBuilder& tensor(std::string_view name, const std::vector<uint64_t>& dims, uint32_t type,
                      std::string_view data) {
    return tensor_at(name, dims, type, data_.size(), data);
  }
  /// The same with any offset: `data` is appended, wherever the offset points.
  GgufBuilder& tensor_at(std::string_view name, const std::vector<uint64_t>& dims, uint32_t type,
                         uint64_t offset, std::string_view data) {
    std::string info = gguf_string(name) + le(static_cast<uint32_t>(dims.size()));
    for (const uint64_t dim : dims) info += le(dim);
    infos_.push_back(info + le(type) + le(offset));
    data_ += data;
    data_.resize((data_.size() + alignment - 1) / alignment * alignment);
    return *this;
  }
  /// A whole tensor info's bytes.
  GgufBuilder& tensor_info(std::string bytes) {
    infos_.push_back(std::move(bytes));
    return *this;
  }
  /// An F32 tensor of zeros.
  GgufBuilder& zeros(std::string_view name, const std::vector<uint64_t>& dims) {
    uint64_t n = 4;
    for (const uint64_t dim : dims) n *= dim;
    return tensor(name, dims, 0, std::string(n, '\0'));
  }

  std::string build() const {
    std::string bytes = magic + le(version) + le(n_tensors.value_or(infos_.size())) +
                        le(n_keys.value_or(entries_.size()));
    for (const std::string& entry : entries_) bytes += entry;
    for (const std::string& info : infos_) bytes += info;
    bytes.resize((bytes.size() + alignment - 1) / alignment * alignment);
    return bytes + data_ + trailer;
  }

 private:
  std::vector<std::string> entries_;
  std::vector<std::string> infos_;
  std::string data_;
};

/// A well-formed file of a few keys and two tensors, for tests to spoil one thing.
inline GgufBuilder small_gguf() {
  GgufBuilder b;
  b.string("general.architecture", "deepseek2").u32("n", 3).strings("words", {"a", "bc"});
  b.zeros("w", {4, 2}).zeros("v", {8});
  return b;
}

}  // namespace minke::test
