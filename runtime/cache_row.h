// How one token's row of the latent cache lies in memory.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "quant/format.h"

namespace minke {

/// Type of the latent cache.
enum class CacheType : uint8_t {
#define MINKE_CACHE_TYPE(name, text, latent, rotated) k##name,
#include "runtime/cache_type_list.inc"
#undef MINKE_CACHE_TYPE
};

/// All types, in the order of cache_type_list.inc.
std::span<const CacheType> cache_types() noexcept;
/// As users write it: "q8_0".
std::string_view cache_type_name(CacheType type) noexcept;
/// By name, case-insensitive; nullopt if there is none.
std::optional<CacheType> find_cache_type(std::string_view name) noexcept;

/// A row: the latent values (c_kv), then the rotated ones, each part in whole blocks of its own
/// format. Where a part does not fill its last block, zeros do.
class CacheRow {
 public:
  struct Part {
    const FormatTraits* format;
    size_t n_values, n_bytes;
  };

  CacheRow() = default;
  CacheRow(CacheType type, int n_latent, int n_rotated) noexcept;

  /// In the order of values and bytes, both of which follow each other without gaps.
  std::span<const Part> parts() const noexcept { return parts_; }
  size_t n_values() const noexcept { return parts_[0].n_values + parts_[1].n_values; }
  size_t n_bytes() const noexcept { return parts_[0].n_bytes + parts_[1].n_bytes; }

  /// Whether each of the values (n_values) is a number within range(): not so in a working model.
  bool holds(const float* values) const noexcept;
  /// The largest magnitude that all formats of the row can say: f32's, bf16's or f16's.
  float range() const noexcept { return range_; }

  /// values (n_values) to row (n_bytes), by the formats' own encoders. A row that does not hold its
  /// values becomes all NaN: whoever reads it sees the fault, which no scale and no limit hides.
  void encode(const float* values, std::byte* row) const noexcept;
  void decode(const std::byte* row, float* values) const noexcept;

 private:
  std::array<Part, 2> parts_{};
  float range_ = 0.0f;
};

}  // namespace minke
