#include "runtime/gguf_types.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "quant/format.h"

namespace minke::gguf {
namespace {

struct OtherType {
  uint32_t id;
  std::string_view name;
  TensorType kind;
};

// ggml's ids that format_list.inc does not hold.
constexpr std::array kOtherTypes = {
    OtherType{4, "Q4_2", TensorType::kRemoved},
    OtherType{5, "Q4_3", TensorType::kRemoved},
    OtherType{9, "Q8_1", TensorType::kKnown},
    OtherType{15, "Q8_K", TensorType::kKnown},
    OtherType{24, "I8", TensorType::kKnown},
    OtherType{25, "I16", TensorType::kKnown},
    OtherType{26, "I32", TensorType::kKnown},
    OtherType{27, "I64", TensorType::kKnown},
    OtherType{28, "F64", TensorType::kKnown},
    OtherType{31, "Q4_0_4_4", TensorType::kRemoved},
    OtherType{32, "Q4_0_4_8", TensorType::kRemoved},
    OtherType{33, "Q4_0_8_8", TensorType::kRemoved},
    OtherType{34, "TQ1_0", TensorType::kKnown},
    OtherType{35, "TQ2_0", TensorType::kKnown},
    OtherType{36, "IQ4_NL_4_4", TensorType::kRemoved},
    OtherType{37, "IQ4_NL_4_8", TensorType::kRemoved},
    OtherType{38, "IQ4_NL_8_8", TensorType::kRemoved},
};

}  // namespace

size_t value_bytes(GgufType type) noexcept {
  switch (type) {
    case GgufType::kU8:
    case GgufType::kI8:
    case GgufType::kBool:
      return 1;
    case GgufType::kU16:
    case GgufType::kI16:
      return 2;
    case GgufType::kU32:
    case GgufType::kI32:
    case GgufType::kF32:
      return 4;
    case GgufType::kU64:
    case GgufType::kI64:
    case GgufType::kF64:
      return 8;
    case GgufType::kString:
    case GgufType::kArray:
      return 0;
  }
  return 0;
}

size_t min_value_bytes(GgufType type) noexcept {
  if (type == GgufType::kString) return sizeof(uint64_t);
  if (type == GgufType::kArray) return sizeof(uint32_t) + sizeof(uint64_t);
  return value_bytes(type);
}

std::string_view type_name(GgufType type) noexcept {
  constexpr std::array<std::string_view, 13> kNames = {"u8",  "i8",  "u16",  "i16",    "u32",
                                                       "i32", "f32", "bool", "string", "array",
                                                       "u64", "i64", "f64"};
  const auto id = static_cast<size_t>(type);
  return id < kNames.size() ? kNames[id] : "unknown";
}

TensorTypeInfo tensor_type(uint32_t id) noexcept {
  const auto format = std::ranges::find_if(
      formats(), [id](const FormatTraits& f) { return static_cast<uint32_t>(f.dtype) == id; });
  if (format != formats().end()) return {TensorType::kReadable, format->name};
  const auto other = std::ranges::find(kOtherTypes, id, &OtherType::id);
  if (other != kOtherTypes.end()) return {other->kind, other->name};
  return {TensorType::kUndefined, {}};
}

std::string readable_tensor_types() {
  std::string text;
  for (const FormatTraits& format : formats()) {
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", format.name,
                        static_cast<uint32_t>(format.dtype));
  }
  return text;
}

}  // namespace minke::gguf
