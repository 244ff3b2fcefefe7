// Products of F32, F16, BF16 and F8_E4M3 weights with f32 activations.
#pragma once

#include "backends/cpu/kernels/matmul.h"

namespace minke::cpu::MINKE_ISA_NS {

void matmul_float(const MatmulArgs& args) noexcept;

/// See KernelTable.
void gemm_nt_f32(int m, int n, int k, const float* a, size_t lda, const float* b, size_t ldb,
                 float* c, size_t ldc) noexcept;
void gemm_nn_add_f32(int m, int n, int k, const float* a, size_t lda, const float* b, size_t ldb,
                     float* c, size_t ldc) noexcept;

}  // namespace minke::cpu::MINKE_ISA_NS
