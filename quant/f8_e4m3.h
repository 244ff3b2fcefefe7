// F8_E4M3: 64 values of eight bits that share an f32 scale, x = scale * value; 8.5 bits a value.
//
// Minke's own type: ggml has none for checkpoints in FP8, and no other program reads it. Its id in
// GGUF files, 0x4D4B0008, is far from those that ggml may give out. The values are e4m3fn (OCP 8-bit floating point, 1.0), as
// in safetensors; the scales of a checkpoint's blocks of 128 x 128 are repeated. Such weights come
// back to the bit.
#pragma once

#include <cstddef>
#include <cstdint>

namespace minke {

//     byte 0..3   scale, f32
//     byte 4..67  values:
//                   7    6     3 2       0
//                 [ sign | exponent | fraction ]
//                 The exponent's bias is 7, and 0 stands for numbers without a leading 1; all ones
//                 in exponent and fraction are a NaN. There is no infinity, the largest is 448.
struct [[gnu::packed]] BlockF8_E4M3 {
  static constexpr size_t kLen = 64;
  float scale;
  uint8_t codes[64];
};
static_assert(sizeof(BlockF8_E4M3) == 68);

constexpr float kE4m3Max = 448.0f;

/// Exact. No f32 denormal takes part.
[[gnu::always_inline]] inline float e4m3_to_f32(uint8_t code) noexcept {
  const uint32_t sign = static_cast<uint32_t>(code & 0x80u) << 24;
  const uint32_t rest = code & 0x7fu;
  const uint32_t normal = (rest << 20) + (120u << 23);
  const auto denormal =
      __builtin_bit_cast(uint32_t, static_cast<float>(static_cast<int32_t>(rest)) * 0x1p-9f);
  const uint32_t finite = rest < 8 ? denormal : normal;
  return __builtin_bit_cast(float, sign | (rest == 0x7f ? 0x7fc00000u : finite));
}

/// To nearest, ties to even; beyond 448 gives 448. Not for NaNs.
[[gnu::always_inline]] inline uint8_t f32_to_e4m3(float value) noexcept {
  const auto bits = __builtin_bit_cast(uint32_t, value);
  const uint32_t magnitude = bits & 0x7fffffffu;
  const uint32_t rest = magnitude < 0x43e00000u ? magnitude : 0x43e00000u;  // 448
  const uint32_t normal = (rest - (120u << 23) + 0x7ffffu + (rest >> 20 & 1u)) >> 20;
  // 16384's last bit is worth 2^-9, as is that of a denormal e4m3: the addition rounds.
  const uint32_t denormal =
      __builtin_bit_cast(uint32_t, __builtin_bit_cast(float, rest) + 16384.0f) - 0x46800000u;
  return static_cast<uint8_t>((bits >> 24 & 0x80u) | (rest < (121u << 23) ? denormal : normal));
}

inline void decode_block(const BlockF8_E4M3& block, float* x) noexcept {
  for (size_t i = 0; i < 64; ++i) x[i] = block.scale * e4m3_to_f32(block.codes[i]);
}

/// If all 64 values are some scale times e4m3 numbers, rounded to f32 but not to a denormal, they
/// decode to the same bits: values that an FP8 checkpoint held are not changed.
void encode_block(const float* x, const float* importance, BlockF8_E4M3& block) noexcept;

}  // namespace minke
