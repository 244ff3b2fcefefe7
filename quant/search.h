// Encoders of whole blocks: they choose the scales and the codes that leave the least squared
// error. What a format file adds is the way its bits are packed.
//
// Common to all: `x` holds n finite values, `importance` n weights >= 0 or nullptr for equal ones;
// the result depends on nothing else, and is finite even where x lies beyond what the format can
// say (the scales stop at f16's largest). n is at most 256, a multiple of 4.
#pragma once

#include <cstddef>
#include <cstdint>

namespace minke {

/// Sixteen ascending levels, as "the lowest, and what is added beyond each of 15 thresholds".
struct LevelTable {
  float lowest;
  float threshold[15];
  float step[15];
};

constexpr LevelTable level_table(const int8_t (&levels)[16]) {
  LevelTable table{static_cast<float>(levels[0]), {}, {}};
  for (int i = 0; i < 15; ++i) {
    table.threshold[i] = static_cast<float>(levels[i] + levels[i + 1]) / 2.0f;
    table.step[i] = static_cast<float>(levels[i + 1] - levels[i]);
  }
  return table;
}

/// What codes stand for: code c is the integer lo + c, or the c-th level of `table` if not null.
struct Levels {
  int lo;
  int hi;
  const LevelTable* table = nullptr;
};

/// x = d * level[code].
struct ScaledCodes {
  uint16_t d;          ///< f16
  uint8_t codes[256];  ///< n of them
};
void encode_scaled(const float* x, const float* importance, size_t n, const Levels& levels,
                   ScaledCodes& out) noexcept;

/// x = d * code + m, code = 0..max_code.
struct AffineCodes {
  uint16_t d;  ///< f16
  uint16_t m;  ///< f16
  uint8_t codes[256];
};
void encode_affine(const float* x, const float* importance, size_t n, int max_code,
                   AffineCodes& out) noexcept;

/// 256 values in n_subs sub-blocks: x = (d * scale[sub]) * level[code].
struct SuperScaledCodes {
  uint16_t d;      ///< f16
  int scales[16];  ///< lo..hi of the scale levels
  uint8_t codes[256];
};
void encode_super_scaled(const float* x, const float* importance, size_t n_subs,
                         const Levels& levels, const Levels& scale_levels,
                         SuperScaledCodes& out) noexcept;

/// 256 values in n_subs sub-blocks: x = (d * scale[sub]) * code - dmin * min[sub], where code =
/// 0..max_code and scales and mins are 0..max_scale; d and dmin are >= 0.
struct SuperAffineCodes {
  uint16_t d;     ///< f16
  uint16_t dmin;  ///< f16
  uint8_t scales[16];
  uint8_t mins[16];
  uint8_t codes[256];
};
void encode_super_affine(const float* x, const float* importance, size_t n_subs, int max_code,
                         int max_scale, SuperAffineCodes& out) noexcept;

}  // namespace minke
