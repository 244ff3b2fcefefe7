// Kernels over single rows of floats; see KernelTable.
#pragma once

#include <cstddef>
#include <cstdint>

namespace minke::cpu::MINKE_ISA_NS {

float dot_f32(const float* a, const float* b, int n) noexcept;
void axpy_f32(float a, const float* x, float* y, int n) noexcept;
void scale_f32(float a, const float* x, float* y, int n) noexcept;
void add_f32(const float* a, const float* b, float* y, int n) noexcept;
float max_f32(const float* x, int n) noexcept;
float exp_sum_f32(float* x, int n, float shift) noexcept;
void silu_mul_f32(const float* gate, const float* up, float* y, int n) noexcept;
void rms_norm_f32(const float* x, const float* weight, float eps, float* y, int n) noexcept;
void f16_to_f32_row(const uint16_t* x, float* y, int n) noexcept;
void f32_to_f16_row(const float* x, uint16_t* y, int n) noexcept;
void bf16_to_f32_row(const uint16_t* x, float* y, int n) noexcept;
void f32_to_bf16_row(const float* x, uint16_t* y, int n) noexcept;

}  // namespace minke::cpu::MINKE_ISA_NS
