// The kernel table of one instruction set.
#include "backends/cpu/kernel_table.h"
#include "backends/cpu/kernels/decode.h"
#include "backends/cpu/kernels/latent_attend.h"
#include "backends/cpu/kernels/latent_pack.h"
#include "backends/cpu/kernels/matmul_float.h"
#include "backends/cpu/kernels/matmul_quant.h"
#include "backends/cpu/kernels/quantize.h"
#include "backends/cpu/kernels/vector.h"
#include "backends/cpu/simd/dot_i8.h"

#define MINKE_STRING(text) MINKE_STRING_(text)
#define MINKE_STRING_(text) #text

namespace minke::cpu::MINKE_ISA_NS {
namespace {

void matmul(const MatmulArgs& args) noexcept {
  const Unpacker* unpacker = find_unpacker(args.w_type);
  if (args.n_x == 0) return;
  if (unpacker != nullptr) return matmul_quant(args, *unpacker);
  matmul_float(args);
}

}  // namespace

extern const KernelTable kTable;
const KernelTable kTable = {
    .name = MINKE_STRING(MINKE_ISA_NS),
    .lanes = kLanes,
    .quantize_rows = quantize_rows,
    .matmul = matmul,
    .dot_f32 = dot_f32,
    .axpy_f32 = axpy_f32,
    .scale_f32 = scale_f32,
    .add_f32 = add_f32,
    .gemm_nt_f32 = gemm_nt_f32,
    .gemm_nn_add_f32 = gemm_nn_add_f32,
    .max_f32 = max_f32,
    .exp_sum_f32 = exp_sum_f32,
    .silu_mul_f32 = silu_mul_f32,
    .rms_norm_f32 = rms_norm_f32,
    .decode_rows = decode_rows,
    .pack_latent_keys = pack_latent_keys,
    .pack_latent_queries = pack_latent_queries,
    .attend_latent = attend_latent,
    .f16_to_f32 = f16_to_f32_row,
    .f32_to_f16 = f32_to_f16_row,
    .bf16_to_f32 = bf16_to_f32_row,
    .f32_to_bf16 = f32_to_bf16_row,
};

}  // namespace minke::cpu::MINKE_ISA_NS
