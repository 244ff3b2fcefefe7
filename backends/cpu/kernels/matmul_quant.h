// Products of block-quantized weights with quantized activations.
#pragma once

#include "backends/cpu/kernels/matmul.h"
#include "backends/cpu/kernels/unpack.h"

namespace minke::cpu::MINKE_ISA_NS {

void matmul_quant(const MatmulArgs& args, const Unpacker& unpacker) noexcept;

}  // namespace minke::cpu::MINKE_ISA_NS
