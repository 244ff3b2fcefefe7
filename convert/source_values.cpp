#include "convert/source_values.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "quant/format.h"
#include "runtime/result.h"

namespace minke::convert {
namespace {

float decode_small_float(uint8_t code, int exponent_bits, int mantissa_bits) noexcept {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = (code >> mantissa_bits) & ((1 << exponent_bits) - 1);
  const int mantissa = code & ((1 << mantissa_bits) - 1);
  const float sign = (code & 0x80) != 0 ? -1.0f : 1.0f;
  if (exponent == 0) {
    return sign * std::ldexp(static_cast<float>(mantissa), 1 - bias - mantissa_bits);
  }
  return sign * std::ldexp(static_cast<float>(mantissa + (1 << mantissa_bits)),
                           exponent - bias - mantissa_bits);
}

using Table = std::array<float, 256>;

Table make_table(float (*decode)(uint8_t) noexcept) {
  Table table{};
  for (size_t code = 0; code < table.size(); ++code) {
    table[code] = decode(static_cast<uint8_t>(code));
  }
  return table;
}

void decode_by_table(const Table& table, const void* bytes, float* values, size_t n) noexcept {
  const auto* codes = static_cast<const uint8_t*>(bytes);
  for (size_t i = 0; i < n; ++i) values[i] = table[codes[i]];
}

void decode_e4m3(const void* bytes, float* values, size_t n) noexcept {
  static const Table table = make_table(decode_f8_e4m3);
  decode_by_table(table, bytes, values, n);
}

void decode_e5m2(const void* bytes, float* values, size_t n) noexcept {
  static const Table table = make_table(decode_f8_e5m2);
  decode_by_table(table, bytes, values, n);
}

void decode_f64(const void* bytes, float* values, size_t n) noexcept {
  const auto* from = static_cast<const std::byte*>(bytes);
  for (size_t i = 0; i < n; ++i) {
    double value;
    std::memcpy(&value, from + i * sizeof value, sizeof value);
    values[i] = static_cast<float>(value);
  }
}

}  // namespace

float decode_f8_e4m3(uint8_t code) noexcept {
  if ((code & 0x7f) == 0x7f) return std::numeric_limits<float>::quiet_NaN();
  return decode_small_float(code, 4, 3);
}

float decode_f8_e5m2(uint8_t code) noexcept {
  if ((code & 0x7c) == 0x7c) {
    if ((code & 3) != 0) return std::numeric_limits<float>::quiet_NaN();
    const float infinity = std::numeric_limits<float>::infinity();
    return (code & 0x80) != 0 ? -infinity : infinity;
  }
  return decode_small_float(code, 5, 2);
}

SourceFormat source_format(SourceType type) noexcept {
  switch (type) {
    case SourceType::kF32:
      return source_format(DType::kF32);
    case SourceType::kF16:
      return source_format(DType::kF16);
    case SourceType::kBF16:
      return source_format(DType::kBF16);
    case SourceType::kF8E4M3:
      return {source_type_name(type), 1, 1, decode_e4m3, {}};
    case SourceType::kF8E5M2:
      return {source_type_name(type), 1, 1, decode_e5m2, {}};
    case SourceType::kF64:
      return {source_type_name(type), 1, sizeof(double), decode_f64, {}};
    default:
      MINKE_CHECK(is_float(type), "values of {}", source_type_name(type));
      return {};
  }
}

SourceFormat source_format(DType dtype) noexcept {
  const FormatTraits* format = find_format(dtype);
  MINKE_CHECK(format != nullptr, "type {}", static_cast<uint32_t>(dtype));
  return {format->name, format->block_len, format->block_bytes, format->decode, dtype};
}

std::optional<size_t> find_beyond(std::span<const float> values, float limit) noexcept {
  // Whole blocks first: the compiler turns the inner loop into vector code.
  constexpr size_t kBlock = 1024;
  // Magnitudes are in the order of their bits, and those of NaNs beyond all.
  const auto largest = std::bit_cast<uint32_t>(limit);
  const auto is_bad = [largest](float v) {
    return (std::bit_cast<uint32_t>(v) & 0x7fffffff) > largest;
  };
  for (size_t start = 0; start < values.size(); start += kBlock) {
    const auto block = values.subspan(start, std::min(kBlock, values.size() - start));
    uint32_t bad = 0;
    for (const float v : block) bad |= uint32_t{is_bad(v)};
    if (bad == 0) continue;
    const auto first = std::ranges::find_if(block, is_bad);
    return start + static_cast<size_t>(first - block.begin());
  }
  return std::nullopt;
}

std::optional<size_t> find_non_finite(std::span<const float> values) noexcept {
  return find_beyond(values, std::numeric_limits<float>::max());
}

}  // namespace minke::convert
