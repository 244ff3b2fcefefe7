#include "quant/format.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace minke {
namespace {

constexpr std::array kFormats = {
#define MINKE_FORMAT(name, id, len, bytes) \
  FormatTraits{DType::k##name, #name, len, bytes, nullptr, nullptr},
#include "quant/format_list.inc"
#undef MINKE_FORMAT
};

bool same_ignoring_case(std::string_view a, std::string_view b) noexcept {
  return std::ranges::equal(a, b, [](unsigned char x, unsigned char y) {
    return std::tolower(x) == std::tolower(y);
  });
}

}  // namespace

std::span<const FormatTraits> formats() noexcept { return kFormats; }

const FormatTraits* find_format(DType dtype) noexcept {
  const auto it = std::ranges::find(kFormats, dtype, &FormatTraits::dtype);
  return it == kFormats.end() ? nullptr : &*it;
}

const FormatTraits* find_format(std::string_view name) noexcept {
  const auto it = std::ranges::find_if(
      kFormats, [name](const FormatTraits& f) { return same_ignoring_case(f.name, name); });
  return it == kFormats.end() ? nullptr : &*it;
}

std::string_view dtype_name(DType dtype) noexcept {
  if (dtype == DType::kI32) return "I32";
  const FormatTraits* format = find_format(dtype);
  return format != nullptr ? format->name : "unknown type";
}

size_t row_bytes(DType dtype, size_t n) noexcept {
  if (dtype == DType::kI32) return n * sizeof(int32_t);
  const FormatTraits* format = find_format(dtype);
  return n / format->block_len * format->block_bytes;
}

}  // namespace minke
