// From blocks of any format to floats; see KernelTable.
#pragma once

#include <cstddef>

#include "quant/format.h"

namespace minke::cpu::MINKE_ISA_NS {

void decode_rows(DType dtype, const void* rows, size_t row_stride, int n_rows, int n_values,
                 float* y, size_t y_stride) noexcept;

}  // namespace minke::cpu::MINKE_ISA_NS
