// dot_i8.h in plain C++, for every processor and as the one that the others are tested against.
#pragma once

#include "backends/cpu/simd/vec_f32.h"

namespace minke::cpu::MINKE_ISA_NS {
namespace {

inline constexpr int kLanes = 4;
inline constexpr int kFullBias = 0;

/// Four int32, or sixteen bytes in the order of memory.
struct VI {
  union {
    int32_t lane[kLanes];
    int8_t byte[4 * kLanes];
  };
};
static_assert(kLanes == kFloats);

inline VI load_bytes(const void* p) {
  VI v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}
inline void store_bytes(void* p, VI v) { std::memcpy(p, &v, sizeof(v)); }
inline VI splat_i32(int32_t value) {
  VI v;
  for (int i = 0; i < kLanes; ++i) v.lane[i] = value;
  return v;
}
inline VI splat4(const int8_t* p) {
  int32_t value;
  std::memcpy(&value, p, 4);
  return splat_i32(value);
}
inline VI add_i32(VI a, VI b) {
  for (int i = 0; i < kLanes; ++i) a.lane[i] += b.lane[i];
  return a;
}
inline VF to_float(VI v) {
  float values[kLanes];
  for (int i = 0; i < kLanes; ++i) values[i] = static_cast<float>(v.lane[i]);
  return load(values);
}
inline VF bits_as_float(VI v) {
  float values[kLanes];
  std::memcpy(values, &v, sizeof(v));
  return load(values);
}

/// factor * (p[2i] + p[2i + 1]) in lane i.
inline VI scaled_pair_sums(const int16_t* p, int16_t factor) {
  VI v;
  for (int i = 0; i < kLanes; ++i) v.lane[i] = factor * (p[2 * i] + p[2 * i + 1]);
  return v;
}
/// factor * p[i] in lane i.
inline VI scaled_sums(const int16_t* p, int16_t factor) {
  VI v;
  for (int i = 0; i < kLanes; ++i) v.lane[i] = factor * p[i];
  return v;
}

// Weights below 128 read as signed bytes are the same numbers.
template <Range kRange>
struct Dot {
  static constexpr int kFlush = 0;
  static VI step(VI acc, VI w, VI x) {
    for (int i = 0; i < kLanes; ++i)
      for (int j = 4 * i; j < 4 * i + 4; ++j) acc.lane[i] += w.byte[j] * x.byte[j];
    return acc;
  }
};

/// dst vector i, lane r = dword i of row r.
inline void transpose(const uint8_t* src, size_t row_stride, uint8_t* dst, size_t dst_stride) {
  for (size_t i = 0; i < kLanes; ++i)
    for (size_t r = 0; r < kLanes; ++r)
      std::memcpy(dst + i * dst_stride + 4 * r, src + r * row_stride + 4 * i, 4);
}

/// out[0], lane r = sum of the lanes of rows[r].
inline void sum_rows(const VI (&rows)[kLanes], VI (&out)[kLanes / 4]) {
  for (int r = 0; r < kLanes; ++r)
    out[0].lane[r] = rows[r].lane[0] + rows[r].lane[1] + rows[r].lane[2] + rows[r].lane[3];
}

}  // namespace
}  // namespace minke::cpu::MINKE_ISA_NS
