#include "runtime/cache_row.h"

#include <algorithm>
#include <cctype>
#include <cfloat>
#include <cmath>
#include <cstring>

#include "quant/half.h"

namespace minke {
namespace {

struct PartFormat {
  DType dtype;
  size_t integer_bytes = 0;  ///< Not 0: integers of so many bytes, whatever dtype says.
};

namespace part_format {
#define MINKE_FORMAT(name, gguf_id, block_len, block_bytes) \
  [[maybe_unused]] constexpr PartFormat name{DType::k##name};
#include "quant/format_list.inc"
#undef MINKE_FORMAT
constexpr PartFormat Int8{DType::kF32, 1}, Int16{DType::kF32, 2};
}  // namespace part_format

struct TypeInfo {
  std::string_view name;
  PartFormat latent, rotated;
};

constexpr TypeInfo kTypes[] = {
#define MINKE_CACHE_TYPE(name, text, latent, rotated) \
  {text, part_format::latent, part_format::rotated},
#include "runtime/cache_type_list.inc"
#undef MINKE_CACHE_TYPE
};

constexpr CacheType kAll[] = {
#define MINKE_CACHE_TYPE(name, text, latent, rotated) CacheType::k##name,
#include "runtime/cache_type_list.inc"
#undef MINKE_CACHE_TYPE
};

constexpr size_t kMaxBlock = 256;

const TypeInfo& info(CacheType type) noexcept { return kTypes[static_cast<size_t>(type)]; }

float range_of(const PartFormat& part) noexcept {
  // Integers: times their scale, which is rounded, the largest must not become infinite.
  if (part.integer_bytes != 0 || part.dtype == DType::kBF16) return bf16_to_f32(kBf16MaxBits);
  return part.dtype == DType::kF32 ? FLT_MAX : kF16Max;
}

CacheRow::Part part_of(const PartFormat& part, int n) noexcept {
  const size_t n_values = static_cast<size_t>(n);
  if (part.integer_bytes != 0)
    return {nullptr, n_values, sizeof(float) + n_values * part.integer_bytes};
  const FormatTraits* format = find_format(part.dtype);
  const size_t n_blocks = (n_values + format->block_len - 1) / format->block_len;
  return {format, n_values, n_blocks * format->block_bytes};
}

template <class Integer>
void encode_integers(const float* values, size_t n, float levels, std::byte* to) noexcept {
  float largest = 0;
  for (size_t i = 0; i < n; ++i) largest = std::max(largest, std::fabs(values[i]));
  const bool tiny = largest < kTinyMagnitude;
  const float scale = tiny ? 0.0f : largest / levels, inverse = tiny ? 0.0f : levels / largest;
  std::memcpy(to, &scale, sizeof(scale));
  to += sizeof(scale);
  for (size_t i = 0; i < n; ++i) {
    constexpr float kMagic = 0x1.8p23f;  // adding it rounds to an integer
    const float rounded = values[i] * inverse + kMagic;
    const auto integer = static_cast<Integer>(rounded - kMagic);
    std::memcpy(to + i * sizeof(Integer), &integer, sizeof(Integer));
  }
}

template <class Integer>
void decode_integers(const std::byte* from, size_t n, float* values) noexcept {
  float scale = 0;
  std::memcpy(&scale, from, sizeof(scale));
  from += sizeof(scale);
  for (size_t i = 0; i < n; ++i) {
    Integer integer{};
    std::memcpy(&integer, from + i * sizeof(Integer), sizeof(Integer));
    values[i] = scale * static_cast<float>(integer);
  }
}

bool has_bytes(const CacheRow::Part& part) noexcept {
  return part.n_bytes == sizeof(float) + part.n_values;
}

void encode_part(const CacheRow::Part& part, const float* values, std::byte* to) noexcept {
  if (part.format == nullptr)
    return has_bytes(part) ? encode_integers<int8_t>(values, part.n_values, kInt8Levels, to)
                           : encode_integers<int16_t>(values, part.n_values, kInt16Levels, to);
  const FormatTraits& format = *part.format;
  const size_t n_whole = part.n_values / format.block_len;
  const size_t rest = part.n_values % format.block_len;
  format.encode(values, nullptr, to, n_whole);
  if (rest == 0) return;
  float last[kMaxBlock] = {};
  std::copy_n(values + n_whole * format.block_len, rest, last);
  format.encode(last, nullptr, to + n_whole * format.block_bytes, 1);
}

void decode_part(const CacheRow::Part& part, const std::byte* from, float* values) noexcept {
  if (part.format == nullptr)
    return has_bytes(part) ? decode_integers<int8_t>(from, part.n_values, values)
                           : decode_integers<int16_t>(from, part.n_values, values);
  const FormatTraits& format = *part.format;
  const size_t n_whole = part.n_values / format.block_len;
  const size_t rest = part.n_values % format.block_len;
  format.decode(from, values, n_whole);
  if (rest == 0) return;
  float last[kMaxBlock];
  format.decode(from + n_whole * format.block_bytes, last, 1);
  std::copy_n(last, rest, values + n_whole * format.block_len);
}

}  // namespace

std::span<const CacheType> cache_types() noexcept { return kAll; }

std::string_view cache_type_name(CacheType type) noexcept { return info(type).name; }

std::optional<CacheType> find_cache_type(std::string_view name) noexcept {
  const auto is_name = [name](CacheType type) {
    return std::ranges::equal(name, cache_type_name(type), {},
                              [](unsigned char c) { return std::tolower(c); });
  };
  const auto found = std::ranges::find_if(kAll, is_name);
  if (found == std::end(kAll)) return std::nullopt;
  return *found;
}

CacheRow::CacheRow(CacheType type, int n_latent, int n_rotated) noexcept
    : parts_{part_of(info(type).latent, n_latent), part_of(info(type).rotated, n_rotated)},
      range_(std::min(range_of(info(type).latent), range_of(info(type).rotated))) {}

bool CacheRow::holds(const float* values) const noexcept {
  bool all = true;  // no early end: the loop runs by vectors
  for (size_t i = 0; i < n_values(); ++i) all &= std::fabs(values[i]) <= range_;
  return all;
}

void CacheRow::encode(const float* values, std::byte* row) const noexcept {
  if (!holds(values)) {
    // Floats and scales of all ones are NaNs in every format of a cache.
    std::memset(row, 0xff, n_bytes());
    return;
  }
  for (const Part& part : parts_) {
    encode_part(part, values, row);
    values += part.n_values;
    row += part.n_bytes;
  }
}

void CacheRow::decode(const std::byte* row, float* values) const noexcept {
  for (const Part& part : parts_) {
    decode_part(part, row, values);
    values += part.n_values;
    row += part.n_bytes;
  }
}

}  // namespace minke
