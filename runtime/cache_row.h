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

/// The integers that attention computes with over any type but f32.
inline constexpr CacheType kDefaultCacheType = CacheType::kQ8;

/// All types, in the order of cache_type_list.inc.
std::span<const CacheType> cache_types() noexcept;
/// As users write it: "q8_0".
std::string_view cache_type_name(CacheType type) noexcept;
/// By name, case-insensitive; nullopt if there is none.
std::optional<CacheType> find_cache_type(std::string_view name) noexcept;

// Integers that share a scale are from minus these on to these. 128 products of two such 16-bit
// numbers fit in 32 bits.
inline constexpr float kInt8Levels = 127, kInt16Levels = 4095;
/// Values whose largest magnitude is below this become integers of zero: levels divided by it must
/// be finite.
inline constexpr float kTinyMagnitude = 2e-35f;

/// A row: the latent values (c_kv), then the rotated ones. A part is whole blocks of a format,
/// where zeros fill the last block, or integers: their scale (f32), then one for each value.
/// Integers are what attention works with (backends/cpu/kernels/latent.h), so it reads them as they
/// are.
class CacheRow {
 public:
  struct Part {
    const FormatTraits* format;  ///< Null: integers.
    size_t n_values, n_bytes;
  };

  CacheRow() = default;
  CacheRow(CacheType type, int n_latent, int n_rotated) noexcept;

  bool holds_integers() const noexcept { return parts_[0].format == nullptr; }
  /// In the order of values and bytes, both of which follow each other without gaps.
  std::span<const Part> parts() const noexcept { return parts_; }
  size_t n_values() const noexcept { return parts_[0].n_values + parts_[1].n_values; }
  size_t n_bytes() const noexcept { return parts_[0].n_bytes + parts_[1].n_bytes; }

  /// Whether each of the values (n_values) is a number within range(): not so in a working model.
  bool holds(const float* values) const noexcept;
  /// The largest magnitude that all parts of the row can say: f32's, bf16's (and integers') or f16's.
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
