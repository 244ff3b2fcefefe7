#include "quant/half.h"

namespace minke {

void f16_to_f32(const uint16_t* halves, float* values, size_t n) noexcept {
  for (size_t i = 0; i < n; ++i) values[i] = f16_to_f32(halves[i]);
}

void f32_to_f16(const float* values, uint16_t* halves, size_t n) noexcept {
  for (size_t i = 0; i < n; ++i) halves[i] = f32_to_f16(values[i]);
}

void bf16_to_f32(const uint16_t* halves, float* values, size_t n) noexcept {
  for (size_t i = 0; i < n; ++i) values[i] = bf16_to_f32(halves[i]);
}

void f32_to_bf16(const float* values, uint16_t* halves, size_t n) noexcept {
  for (size_t i = 0; i < n; ++i) halves[i] = f32_to_bf16(values[i]);
}

}  // namespace minke
