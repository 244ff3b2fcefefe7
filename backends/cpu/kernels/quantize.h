// Activations to int8.
#pragma once

#include "backends/cpu/kernels/matmul.h"

namespace minke::cpu::MINKE_ISA_NS {

void quantize_rows(const float* x, size_t x_stride, int n_rows, const QuantizedRows& out,
                   int first_row) noexcept;

}  // namespace minke::cpu::MINKE_ISA_NS
