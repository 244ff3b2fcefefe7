// Reads GGUF files without copying: the file stays mapped, tensors and strings are views into it.
// Spec: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "runtime/model_ranges.h"
#include "runtime/result.h"
#include "runtime/tensor.h"

namespace minke {

/// GGUF's metadata value types; the values are those of the file.
enum class GgufType : uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};

struct GgufTensor {
  std::string_view name;
  TensorDesc desc;
  std::span<const std::byte> data;  ///< desc.bytes() bytes inside the mapping.
  int part = 0;                     ///< Which file of a split set holds it.
  uint64_t offset = 0;              ///< Of the data, from the start of that file.
};

/// An open GGUF file, or all files of a split set opened by any part's name. Movable; views that
/// it hands out live as long as it does. Thread-safe for reading.
class GgufFile {
 public:
  /// More elements than any list of a model has.
  static constexpr IntRange kAnyList{0, 1 << 24};

  /// Errors: kMissing, kIo, kUnsupported (a tensor type that Minke does not decode), kContent
  /// ("FILE: offset 0x..: key 'x': reason (got .., allowed ..)").
  static Result<GgufFile> open(const std::filesystem::path& path);
  GgufFile(GgufFile&&) noexcept;
  GgufFile& operator=(GgufFile&&) noexcept;
  ~GgufFile();

  const std::filesystem::path& path() const noexcept;
  bool has(std::string_view key) const noexcept;

  // Typed accessors. A key of another type, or a number that does not fit, is a kContent error that
  // names the file and the key; a missing key is an error too: ask has() first, or use *_or.
  Result<uint64_t> get_uint(std::string_view key) const;  ///< Any integer type, >= 0.
  Result<int64_t> get_int(std::string_view key) const;    ///< Any integer type.
  Result<double> get_float(std::string_view key) const;   ///< F32 or F64.
  Result<bool> get_bool(std::string_view key) const;
  Result<std::string_view> get_string(std::string_view key) const;
  Result<uint64_t> get_uint_or(std::string_view key, uint64_t fallback) const;
  Result<double> get_float_or(std::string_view key, double fallback) const;
  Result<bool> get_bool_or(std::string_view key, bool fallback) const;
  Result<std::string_view> get_string_or(std::string_view key, std::string_view fallback) const;
  // Arrays: another number of elements than `counts` allows is an error too, found before memory is
  // taken for them.
  /// Array of strings; views into the mapping.
  Result<std::vector<std::string_view>> get_strings(std::string_view key,
                                                    IntRange counts = kAnyList) const;
  /// Array of any integer type.
  Result<std::vector<int64_t>> get_ints(std::string_view key, IntRange counts = kAnyList) const;
  /// Array of F32 or F64.
  Result<std::vector<double>> get_floats(std::string_view key, IntRange counts = kAnyList) const;

  /// One metadata entry as it stands in the file (for info, and for copying it to another file).
  struct Entry {
    std::string_view key;
    GgufType type;
    GgufType element_type;  ///< For kArray.
    uint64_t count;         ///< Elements of an array, else 1.
    /// The value's bytes as stored, without the type; of an array the elements only, without their
    /// type and count. (Arrays of arrays: each element has its own u32 type and u64 count.)
    std::span<const std::byte> encoded;
  };
  std::span<const Entry> entries() const noexcept;

  std::span<const GgufTensor> tensors() const noexcept;
  /// nullptr if there is none.
  const GgufTensor* find_tensor(std::string_view name) const noexcept;
  /// The files of a split set in order, or the only one.
  std::vector<std::filesystem::path> part_paths() const;
  /// Sum of the sizes of all parts, in bytes.
  uint64_t file_bytes() const noexcept;
  /// Reads all parts into memory from beginning to end (MappedFile::populate); `progress` is told
  /// how far that is. Does nothing where they are in memory, as far as MappedFile::is_resident
  /// knows, or where they would take more than nine tenths of what is available. Errors: kIo.
  Status page_in(const std::function<void(uint64_t bytes_done)>& progress) const;
  /// Keeps all parts in memory (MappedFile::lock). Errors: kMemory, also where there is too little.
  Status lock() const;

 private:
  struct Impl;
  explicit GgufFile(std::unique_ptr<Impl> impl) noexcept;
  std::unique_ptr<Impl> impl_;
};

}  // namespace minke
