// Encoders of whole blocks: they choose the scales and the codes that leave the least squared
// error. What a format file adds is a rule, and the way its bits are packed.
//
// Common to all: `x` holds n_blocks blocks of finite values, `importance` as many weights >= 0 or
// nullptr for equal ones. A block's result depends on its own values and weights alone, and is
// finite even where x lies beyond what the format can say (the scales stop at f16's largest).
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>

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

/// Levels, and where the search for a scale starts: at each start, the value of largest magnitude
/// goes to that level.
struct ScaleRule {
  Levels levels;
  int n_starts = 0;
  float starts[48] = {};
};

/// The starts lie from 0.8 outside the end of the levels to a quarter of them (within bounds)
/// inside it. Integers have starts at one end only: scale and -scale give the same codes but for
/// their signs.
constexpr ScaleRule scale_rule(const Levels& levels) {
  constexpr float kBeyond = 0.8f, kInnerLeast = 1.5f, kInnerMost = 10.0f;
  constexpr float kStep = 0.25f, kStepShare = 0.012f;
  ScaleRule rule{levels};
  const float unit = levels.table != nullptr ? 16.0f : 1.0f;
  for (const int end : {levels.lo, levels.hi}) {
    const bool is_first = end == (levels.lo != 0 ? levels.lo : levels.hi);
    if (levels.table == nullptr && !is_first) continue;
    const float sign = end < 0 ? -1.0f : 1.0f;
    const float size = sign * static_cast<float>(end);
    float inside = 0.25f * size / unit;
    inside = inside < kInnerLeast ? kInnerLeast : inside > kInnerMost ? kInnerMost : inside;
    float inner = size - unit * inside;
    if (inner < 0.5f * unit) inner = 0.5f * unit;
    const float step = kStep * unit > kStepShare * size ? kStep * unit : kStepShare * size;
    const int n_beyond = static_cast<int>(kBeyond * unit / step);
    const int n_inside = static_cast<int>((size - inner) / step);
    for (int i = -n_beyond; i <= n_inside; ++i) {
      rule.starts[rule.n_starts++] = sign * (size - static_cast<float>(i) * step);
    }
  }
  return rule;
}

/// As many blocks as an encoder takes at a time; results do not depend on it.
constexpr size_t kEncodeBatch = 16;

/// Blocks of 32: x = d * level[code].
struct ScaledCodes {
  uint16_t d;  ///< f16
  uint8_t codes[32];
};
struct ScaledRule {
  using Codes = ScaledCodes;
  ScaleRule values;
};

/// Blocks of 32: x = d * code + m, code = 0..max_code.
struct AffineCodes {
  uint16_t d;  ///< f16
  uint16_t m;  ///< f16
  uint8_t codes[32];
};
struct AffineRule {
  using Codes = AffineCodes;
  int max_code;
};

/// Blocks of 256 in n_subs sub-blocks: x = (d * scale[sub]) * level[code].
struct SuperScaledCodes {
  uint16_t d;      ///< f16
  int scales[16];  ///< lo..hi of the scale levels
  uint8_t codes[256];
};
struct SuperScaledRule {
  using Codes = SuperScaledCodes;
  size_t n_subs;  ///< 8 or 16
  ScaleRule values;
  ScaleRule scales;
};

/// Blocks of 256 in n_subs sub-blocks: x = (d * scale[sub]) * code - dmin * min[sub], where code =
/// 0..max_code, and scales and mins are 0..hi of the scale levels; d and dmin are >= 0.
struct SuperAffineCodes {
  uint16_t d;     ///< f16
  uint16_t dmin;  ///< f16
  uint8_t scales[16];
  uint8_t mins[16];
  uint8_t codes[256];
};
struct SuperAffineRule {
  using Codes = SuperAffineCodes;
  size_t n_subs;  ///< 8 or 16
  int max_code;
  ScaleRule scales;
};

// out has n_blocks elements.
void search_codes(const ScaledRule& rule, const float* x, const float* importance, size_t n_blocks,
                  ScaledCodes* out) noexcept;
void search_codes(const AffineRule& rule, const float* x, const float* importance, size_t n_blocks,
                  AffineCodes* out) noexcept;
void search_codes(const SuperScaledRule& rule, const float* x, const float* importance,
                  size_t n_blocks, SuperScaledCodes* out) noexcept;
void search_codes(const SuperAffineRule& rule, const float* x, const float* importance,
                  size_t n_blocks, SuperAffineCodes* out) noexcept;

}  // namespace minke
