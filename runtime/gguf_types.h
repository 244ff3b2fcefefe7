// The numbers of the GGUF format: value types, tensor types by id, limits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "runtime/gguf_reader.h"

namespace minke::gguf {

inline constexpr uint32_t kVersion = 3;     ///< Written; 2 differs only in what it allows.
inline constexpr uint32_t kMinVersion = 2;  ///< Version 1 had 32-bit lengths.
inline constexpr uint64_t kDefaultAlignment = 32;
inline constexpr uint64_t kMinAlignment = 8;
inline constexpr uint64_t kMaxAlignment = 64 * 1024;
inline constexpr size_t kMaxNameBytes = 255;
/// More keys or tensors than any model has; with it, the index of a hostile file stays small.
inline constexpr uint64_t kMaxRecords = uint64_t{1} << 20;
inline constexpr int kMaxArrayDepth = 8;

/// Bytes of one value of a fixed-size type; 0 for strings, arrays and unknown types.
size_t value_bytes(GgufType type) noexcept;
/// The fewest bytes that a value can take (8 for a string, 12 for an array); 0 for unknown types.
size_t min_value_bytes(GgufType type) noexcept;
/// "u32", "array", ...
std::string_view type_name(GgufType type) noexcept;

/// What a tensor type's id in a file means.
enum class TensorType {
  kReadable,   ///< quant/format_list.inc has it.
  kKnown,      ///< ggml has it, Minke does not decode it.
  kRemoved,    ///< ggml had it once; no current file may use it.
  kUndefined,  ///< Nobody's.
};
struct TensorTypeInfo {
  TensorType kind;
  std::string_view name;  ///< Empty for kUndefined.
};
TensorTypeInfo tensor_type(uint32_t id) noexcept;
/// "F32 0, F16 1, ...": the readable types, for messages.
std::string readable_tensor_types();

/// A value at an address of any alignment.
template <class T>
T load(const std::byte* at) noexcept {
  T value;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

/// Calls use(value) with the integer of the given type at `at`; false if the type is no integer.
template <class Use>
bool with_integer(GgufType type, const std::byte* at, Use use) {
  switch (type) {
    case GgufType::kU8:
      return use(load<uint8_t>(at)), true;
    case GgufType::kI8:
      return use(load<int8_t>(at)), true;
    case GgufType::kU16:
      return use(load<uint16_t>(at)), true;
    case GgufType::kI16:
      return use(load<int16_t>(at)), true;
    case GgufType::kU32:
      return use(load<uint32_t>(at)), true;
    case GgufType::kI32:
      return use(load<int32_t>(at)), true;
    case GgufType::kU64:
      return use(load<uint64_t>(at)), true;
    case GgufType::kI64:
      return use(load<int64_t>(at)), true;
    default:
      return false;
  }
}

}  // namespace minke::gguf
