// dot_i8.h for 64-bit Arm, with the dot product instructions where the compiler has them switched
// on.
#pragma once

#include <arm_neon.h>

#include "backends/cpu/simd/vec_f32.h"

namespace minke::cpu::MINKE_ISA_NS {
namespace {

using VI = int32x4_t;
inline constexpr int kLanes = 4;
inline constexpr int kFullBias = 0;

inline VI load_bytes(const void* p) {
  return vreinterpretq_s32_u8(vld1q_u8(static_cast<const uint8_t*>(p)));
}
inline void store_bytes(void* p, VI v) { vst1q_s32(static_cast<int32_t*>(p), v); }
inline VI splat_i32(int32_t v) { return vdupq_n_s32(v); }
inline VI splat4(const int8_t* p) {
  int32_t v;
  std::memcpy(&v, p, 4);
  return vdupq_n_s32(v);
}
inline VI add_i32(VI a, VI b) { return vaddq_s32(a, b); }
inline VF to_float(VI v) { return vcvtq_f32_s32(v); }
inline VF bits_as_float(VI v) { return vreinterpretq_f32_s32(v); }

/// factor * (p[2i] + p[2i + 1]) in lane i.
inline VI scaled_pair_sums(const int16_t* p, int16_t factor) {
  return vmulq_n_s32(vpaddlq_s16(vld1q_s16(p)), factor);
}
/// factor * p[i] in lane i.
inline VI scaled_sums(const int16_t* p, int16_t factor) {
  return vmulq_n_s32(vmovl_s16(vld1_s16(p)), factor);
}

// Weights below 128 read as signed bytes are the same numbers.
template <Range kRange>
struct Dot {
  static constexpr int kFlush = 0;
  static VI step(VI acc, VI w, VI x) {
    const int8x16_t wb = vreinterpretq_s8_s32(w), xb = vreinterpretq_s8_s32(x);
#ifdef __ARM_FEATURE_DOTPROD
    return vdotq_s32(acc, wb, xb);
#else
    // Two products, 2 * 128 * 127 at most, fit in 16 bits; four are added in 32.
    const int16x8_t low = vmull_s8(vget_low_s8(wb), vget_low_s8(xb));
    const int16x8_t high = vmull_high_s8(wb, xb);
    return vpadalq_s16(acc, vpaddq_s16(low, high));
#endif
  }
};

/// dst vector i, lane r = dword i of row r.
inline void transpose(const uint8_t* src, size_t row_stride, uint8_t* dst, size_t dst_stride) {
  VI v[4];
  for (size_t i = 0; i < 4; ++i) v[i] = load_bytes(src + i * row_stride);
  const VI lo01 = vzip1q_s32(v[0], v[1]), hi01 = vzip2q_s32(v[0], v[1]);
  const VI lo23 = vzip1q_s32(v[2], v[3]), hi23 = vzip2q_s32(v[2], v[3]);
  const auto join = [](int32x2_t a, int32x2_t b) {
    return vreinterpretq_u8_s32(vcombine_s32(a, b));
  };
  vst1q_u8(dst, join(vget_low_s32(lo01), vget_low_s32(lo23)));
  vst1q_u8(dst + dst_stride, join(vget_high_s32(lo01), vget_high_s32(lo23)));
  vst1q_u8(dst + 2 * dst_stride, join(vget_low_s32(hi01), vget_low_s32(hi23)));
  vst1q_u8(dst + 3 * dst_stride, join(vget_high_s32(hi01), vget_high_s32(hi23)));
}

/// out[0], lane r = sum of the lanes of rows[r].
inline void sum_rows(const VI (&rows)[kLanes], VI (&out)[kLanes / 4]) {
  out[0] = vpaddq_s32(vpaddq_s32(rows[0], rows[1]), vpaddq_s32(rows[2], rows[3]));
}

}  // namespace
}  // namespace minke::cpu::MINKE_ISA_NS
