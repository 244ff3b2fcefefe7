#include "runtime/cache_row.h"

#include <algorithm>
#include <cctype>
#include <cfloat>
#include <cmath>
#include <cstring>

#include "quant/half.h"

namespace minke {
namespace {

struct TypeInfo {
  std::string_view name;
  DType latent, rotated;
};

constexpr TypeInfo kTypes[] = {
#define MINKE_CACHE_TYPE(name, text, latent, rotated) {text, DType::k##latent, DType::k##rotated},
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

float range_of(DType dtype) noexcept {
  if (dtype == DType::kF32) return FLT_MAX;
  return dtype == DType::kBF16 ? bf16_to_f32(kBf16MaxBits) : kF16Max;
}

CacheRow::Part part_of(DType dtype, int n) noexcept {
  const FormatTraits* format = find_format(dtype);
  const size_t n_values = static_cast<size_t>(n);
  const size_t n_blocks = (n_values + format->block_len - 1) / format->block_len;
  return {format, n_values, n_blocks * format->block_bytes};
}

void encode_part(const CacheRow::Part& part, const float* values, std::byte* to) noexcept {
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
