// The kernels of one instruction set, as functions of one table. The same sources are compiled once
// an instruction set (cmake/isa.cmake; of amx only what differs from avx512vnni); isa.h tells which
// of the tables this processor can run.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backends/cpu/kernels/latent.h"
#include "backends/cpu/kernels/matmul.h"

namespace minke::cpu {

/// All functions work on the calling thread alone, keep no state, do not allocate and do not fail.
/// Pointers need no alignment beyond their type's unless stated. Inputs and outputs do not overlap
/// unless they are the same pointer where that is allowed.
struct KernelTable {
  const char* name;  ///< "scalar", "avx2", ... as MINKE_ISA has it.
  int lanes;         ///< Dwords in a vector: 4, 8 or 16.

  /// Quantizes n_rows rows of x (n_cols values, x_stride floats apart) into rows
  /// [first_row, first_row + n_rows) of `out`, and their rests where it has them. A block that holds
  /// a value which is not finite gets the scale not-a-number, so that the fault is not lost.
  void (*quantize_rows)(const float* x, size_t x_stride, int n_rows, const QuantizedRows& out,
                        int first_row) noexcept;

  /// See MatmulArgs. Rows of y outside [row_begin, row_end) stay untouched.
  void (*matmul)(const MatmulArgs& args) noexcept;

  /// sum a[i] * b[i]
  float (*dot_f32)(const float* a, const float* b, int n) noexcept;
  /// y[i] += a * x[i]
  void (*axpy_f32)(float a, const float* x, float* y, int n) noexcept;
  /// y[i] = a * x[i]; x may be y.
  void (*scale_f32)(float a, const float* x, float* y, int n) noexcept;
  /// y[i] = a[i] + b[i]; a or b may be y.
  void (*add_f32)(const float* a, const float* b, float* y, int n) noexcept;

  /// C (m, n) = A (m, k) * B (n, k)^T, row strides in floats; C is overwritten.
  void (*gemm_nt_f32)(int m, int n, int k, const float* a, size_t lda, const float* b, size_t ldb,
                      float* c, size_t ldc) noexcept;
  /// C (m, n) += A (m, k) * B (k, n), row strides in floats.
  void (*gemm_nn_add_f32)(int m, int n, int k, const float* a, size_t lda, const float* b,
                          size_t ldb, float* c, size_t ldc) noexcept;

  /// Largest of n >= 1 values.
  float (*max_f32)(const float* x, int n) noexcept;
  /// x[i] = exp(x[i] - shift), returns their sum. Relative error of exp below 2.5e-7.
  float (*exp_sum_f32)(float* x, int n, float shift) noexcept;
  /// y[i] = gate[i] / (1 + exp(-gate[i])) * up[i]; gate or up may be y.
  void (*silu_mul_f32)(const float* gate, const float* up, float* y, int n) noexcept;
  /// y[i] = x[i] / sqrt(mean(x^2) + eps) * weight[i]; x may be y.
  void (*rms_norm_f32)(const float* x, const float* weight, float eps, float* y, int n) noexcept;

  /// Decodes n_rows rows of n_values values, row_stride bytes apart, to y, whose rows are y_stride
  /// floats apart; `dtype` is any block format. Of a last block that is not full the rest is left
  /// out.
  void (*decode_rows)(DType dtype, const void* rows, size_t row_stride, int n_rows, int n_values,
                      float* y, size_t y_stride) noexcept;

  /// Attention over cached rows in integers, see kernels/latent.h. n_keys (1..64) rows, one behind
  /// the other, to a tile, which may go on reading the rows themselves: they must stay as they are.
  /// Rows behind them, up to a multiple of 16, become zeros.
  void (*pack_latent_keys)(LatentRows type, const void* rows, int n_keys,
                           LatentKeys& keys) noexcept;
  /// n_rows query rows (rank + rope values, q_stride floats apart); `scale` is that of attention.
  void (*pack_latent_queries)(const float* q, size_t q_stride, int n_rows, float scale,
                              const LatentQueries& queries) noexcept;
  /// All rows of `queries` against the n_keys keys of a tile. A key or query that is not finite
  /// makes the l of its rows not-a-number.
  void (*attend_latent)(const LatentQueries& queries, const LatentKeys& keys, int n_keys,
                        const LatentState& state, const LatentAhead& ahead) noexcept;

  /// Row conversions, round to nearest even; not-a-number stays not-a-number.
  void (*f16_to_f32)(const uint16_t* x, float* y, int n) noexcept;
  void (*f32_to_f16)(const float* x, uint16_t* y, int n) noexcept;
  void (*bf16_to_f32)(const uint16_t* x, float* y, int n) noexcept;
  void (*f32_to_bf16)(const float* x, uint16_t* y, int n) noexcept;
};

}  // namespace minke::cpu
