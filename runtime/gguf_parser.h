// How a GGUF file is read: one pass, every number checked before it is used. The steps are in
// gguf_parse_metadata.cpp and gguf_parse_tensors.cpp; others use gguf_parse.h.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "runtime/gguf_parse.h"
#include "runtime/gguf_types.h"

namespace minke::gguf {

/// Steps through the bytes of a file; never past their end.
class Cursor {
 public:
  explicit Cursor(std::span<const std::byte> bytes) : bytes_(bytes) {}

  uint64_t at() const noexcept { return at_; }
  uint64_t left() const noexcept { return bytes_.size() - at_; }
  const std::byte* here() const noexcept { return bytes_.data() + at_; }

  template <class T>
  bool read(T& value) noexcept {
    static_assert(std::is_trivially_copyable_v<T>);
    if (left() < sizeof(T)) return false;
    std::memcpy(&value, here(), sizeof(T));
    at_ += sizeof(T);
    return true;
  }
  bool skip(uint64_t n) noexcept {
    if (left() < n) return false;
    at_ += n;
    return true;
  }

 private:
  std::span<const std::byte> bytes_;
  size_t at_ = 0;
};

/// What the parser is busy with, for messages; made into text only when something is wrong.
struct Subject {
  std::string_view kind;                // "header", "key", "tensor", "data"
  std::string_view name = {};           // once it is known
  std::optional<uint64_t> number = {};  // position in the file, until the name is known

  std::string text() const;
};

class Parser {
 public:
  explicit Parser(MappedFile file) : cursor_(file.bytes()) { out_.file = std::move(file); }

  Result<ParsedFile> run();

 private:
  tl::unexpected<Error> bad(const void* at, std::string_view reason) const {
    return tl::unexpected(content_error(out_.file, at, subject_.text(), reason));
  }
  tl::unexpected<Error> truncated(std::string_view what, uint64_t wanted) const {
    return bad(cursor_.here(), fmt::format("the file ends inside {} (got {} bytes, needs {})", what,
                                           cursor_.left(), wanted));
  }
  template <class T>
  Status read(T& value, std::string_view what) {
    if (!cursor_.read(value)) return truncated(what, sizeof(T));
    return {};
  }

  Status header();
  Status check_magic();
  Status check_version(uint32_t version);
  Status count(uint64_t& n, std::string_view what, uint64_t record_bytes);
  Status name(std::string_view& name);
  Status entry(uint64_t number);
  Status value(GgufType type, int depth);
  Status array(int depth, GgufFile::Entry* entry);
  Status string_value();
  Status bools(std::span<const std::byte> values) const;
  Status index_entries();
  Status find_alignment();
  Status tensor_info(uint64_t number);
  Status tensor_type_of(uint32_t id, const void* at, DType& dtype);
  Status tensor_shape(TensorDesc& desc);
  Status tensor_size(const TensorDesc& desc, const void* at, uint64_t& size) const;
  Status check_tensor_names();
  Status place_tensors();
  Status place_in_order(uint64_t data_start, uint64_t data_bytes);

  struct Place {
    uint64_t offset;      // from the start of the data section
    uint64_t size_bytes;  // of the tensor
  };

  ParsedFile out_;
  Cursor cursor_;
  Subject subject_{"header"};
  uint64_t n_tensors_ = 0;
  uint64_t n_entries_ = 0;
  uint64_t alignment_ = kDefaultAlignment;
  std::vector<Place> places_;  // of out_.tensors
};

}  // namespace minke::gguf
