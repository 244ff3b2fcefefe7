// 16-bit floats: IEEE 754 binary16 (f16) and bfloat16 (bf16) to and from f32.
//
// The one-value functions are forced inline, so that a kernel compiled for a newer instruction set
// never leaves behind a copy of them that an older CPU could be sent to.
#pragma once

#include <cstddef>
#include <cstdint>

namespace minke {

constexpr float kF16Max = 65504.0f;
constexpr uint16_t kBf16MaxBits = 0x7f7f;  ///< 3.39e38, the largest finite bf16.

/// Exact. A NaN keeps its sign and payload. No f32 denormal takes part, so it holds too where the
/// CPU flushes those to zero.
[[gnu::always_inline]] inline float f16_to_f32(uint16_t half) noexcept {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t rest = half & 0x7fffu;
  // Exponent 31 (infinity, NaN) becomes 255 by adding the difference of the biases twice.
  const uint32_t bias = rest < 0x7c00u ? 112u << 23 : 224u << 23;
  const uint32_t normal = (rest << 13) + bias;
  const auto denormal =
      __builtin_bit_cast(uint32_t, static_cast<float>(static_cast<int32_t>(rest)) * 0x1p-24f);
  return __builtin_bit_cast(float, sign | (rest < 0x400u ? denormal : normal));
}

/// To nearest, ties to even; beyond 65519.99 gives infinity. A NaN stays a NaN.
[[gnu::always_inline]] inline uint16_t f32_to_f16(float value) noexcept {
  const auto bits = __builtin_bit_cast(uint32_t, value);
  const uint32_t sign = bits >> 16 & 0x8000u;
  const uint32_t rest = bits & 0x7fffffffu;
  const uint32_t normal = (rest - (112u << 23) + 0xfffu + (rest >> 13 & 1u)) >> 13;
  // 0.5f's last bit is worth 2^-24, as is that of a denormal f16: the addition rounds.
  const uint32_t denormal =
      __builtin_bit_cast(uint32_t, __builtin_bit_cast(float, rest) + 0.5f) - 0x3f000000u;
  const uint32_t finite = rest < (113u << 23) ? denormal : normal;
  const uint32_t not_a_number = rest > 0x7f800000u ? 0x7e00u | (rest >> 13 & 0x3ffu) : 0x7c00u;
  return static_cast<uint16_t>(sign | (rest < (143u << 23) ? finite : not_a_number));
}

/// Exact.
[[gnu::always_inline]] inline float bf16_to_f32(uint16_t half) noexcept {
  return __builtin_bit_cast(float, static_cast<uint32_t>(half) << 16);
}

/// To nearest, ties to even; beyond 3.396e38 gives infinity. A NaN stays a NaN, made quiet.
[[gnu::always_inline]] inline uint16_t f32_to_bf16(float value) noexcept {
  const auto bits = __builtin_bit_cast(uint32_t, value);
  const uint32_t rounded = bits + 0x7fffu + (bits >> 16 & 1u);
  const bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
  return static_cast<uint16_t>((is_nan ? bits | 0x400000u : rounded) >> 16);
}

// Rows of n values.
void f16_to_f32(const uint16_t* halves, float* values, size_t n) noexcept;
void f32_to_f16(const float* values, uint16_t* halves, size_t n) noexcept;
void bf16_to_f32(const uint16_t* halves, float* values, size_t n) noexcept;
void f32_to_bf16(const float* values, uint16_t* halves, size_t n) noexcept;

}  // namespace minke
