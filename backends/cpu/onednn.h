// oneDNN's f32 matrix product, for float weights and many rows.
#pragma once

#include <string_view>

#include "backends/cpu/kernels/matmul.h"

namespace minke::cpu {

/// Bytes of a thread's scratch that onednn_matmul() needs beyond kMatmulScratchBytes, for rows of
/// n_cols values.
size_t onednn_scratch_bytes(int n_cols) noexcept;

/// True where oneDNN does this product and is faster than our own kernel (see CONTRIBUTING.md,
/// "oneDNN for float products of many rows"): F32, F16 and BF16 weights, many plain rows.
bool onednn_wins(const MatmulArgs& args) noexcept;

/// As KernelTable::matmul, on the calling thread alone. F16 and BF16 weights become f32 a tile at a
/// time in args.scratch + kMatmulScratchBytes, so activations are never rounded.
void onednn_matmul(const MatmulArgs& args,
                   void (*to_f32)(const uint16_t* x, float* y, int n) noexcept) noexcept;

/// Keeps oneDNN to an instruction set of ours, by its name; before the first product only.
void limit_onednn(std::string_view isa) noexcept;

}  // namespace minke::cpu
