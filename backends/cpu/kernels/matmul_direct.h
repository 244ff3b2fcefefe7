// Products of a few activation rows, with weights that go from the file straight into registers.
#pragma once

#include "backends/cpu/kernels/matmul.h"
#include "backends/cpu/kernels/unpack.h"

namespace minke::cpu::MINKE_ISA_NS {

/// Answer tokens come one at a time and are bound by memory bandwidth; unpacking weights into the
/// L1 cache first takes longer than reading them. Gives the same bits as matmul_quant. Multiplies
/// whole vectors of weight rows and gives the first row that is left: args.row_begin for numbers of
/// activation rows, formats and instruction sets it is not made for, and for activation rows whose
/// copies do not fit in the scratch memory (eight of 20,000 columns do).
int matmul_direct(const MatmulArgs& args, const Unpacker& format) noexcept;

}  // namespace minke::cpu::MINKE_ISA_NS
