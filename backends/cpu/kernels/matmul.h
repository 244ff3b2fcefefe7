// The matrix product of the CPU backend: weights as a file stores them, times rows of activations.
//
// Block-quantized weights are multiplied in integers. Activations are quantized once, 32 values at
// a time, and shared by every matrix that reads them. Per 32 (or 16) values the integer sum is
// exact, and the sums are added up in f32 in the order of the columns, one fused multiply-add
// after the other. So the result of a row does not depend on how many rows were multiplied with it,
// on how the matrix was split over threads, nor on the instruction set (as far as it has FMA: all
// but `scalar`).
#pragma once

#include <cstddef>
#include <cstdint>

#include "quant/format.h"

namespace minke::cpu {

/// Values that share one scale in quantized activations.
inline constexpr int kQuantBlock = 32;

/// Activations as int8: value (row, col) is q * scale of its block of 32, |q| <= 127. The caller
/// owns the memory; quantized_rows_at() lays it out. A row depends on its own values alone.
///
/// With rests a value has 16 bits: row rest_from + r holds what rounding left of row r, in steps of
/// 1/254 of its scale, and a product with both rows, added, is one with the value.
struct QuantizedRows {
  int8_t* q;          ///< (n_rows, n_cols)
  float* scale;       ///< (n_rows, n_cols / 32): largest magnitude of the block / 127.
  float* scaled_sum;  ///< (n_rows, n_cols / 32): sum of the block's q, times its scale.
  int16_t* sum;       ///< (n_rows, n_cols / 16): sum of the q of 16 values.
  int n_cols = 0;     ///< A multiple of 32.
  int rest_from = 0;  ///< 0: no rests.

  /// The rows from `row` on, where there are no rests.
  QuantizedRows from(int row) const noexcept {
    const ptrdiff_t at = static_cast<ptrdiff_t>(row) * n_cols;
    return {q + at, scale + at / kQuantBlock, scaled_sum + at / kQuantBlock, sum + at / 16, n_cols};
  }
};

/// Whether a product needs the rows' rests, or rows have them.
enum class Rests : bool { kNo, kYes };

/// Bytes that n_rows quantized rows need.
size_t quantized_rows_bytes(int n_rows, int n_cols, Rests rests = Rests::kNo) noexcept;
/// Lays quantized rows out in `storage`: 64-byte aligned, of quantized_rows_bytes() bytes. Rests
/// come right behind the last row.
QuantizedRows quantized_rows_at(void* storage, int n_rows, int n_cols,
                                Rests rests = Rests::kNo) noexcept;

/// True for formats that matmul multiplies with QuantizedRows (xq), false for F32, F16, BF16 and
/// F8_E4M3, which it multiplies with f32 activations (x).
bool wants_quantized_rows(DType dtype) noexcept;

/// Formats that lose so little that rounding activations to 8 bits shows beside it: products of
/// high precision take 16 bits.
bool wants_rests(DType dtype) noexcept;

/// Working memory a thread hands to matmul: 64-byte aligned, content irrelevant before and after.
inline constexpr size_t kMatmulScratchBytes = size_t{256} << 10;

/// One thread's share of y = x * w^T: all activation rows, weight rows [row_begin, row_end).
/// Multiples of 32 rows a share are fastest.
struct MatmulArgs {
  DType w_type = DType::kF32;
  const void* w = nullptr;  ///< (n_rows, n_cols) in blocks of w_type; row 0, not row_begin.
  size_t w_row_bytes = 0;   ///< From one weight row to the next.
  int n_cols = 0;           ///< Row length; a multiple of w_type's block length.
  /// Weight rows of the same type and length that this thread is likely to multiply next: their
  /// beginning is fetched ahead. Null: unknown.
  const void* next_w = nullptr;

  const float* x = nullptr;           ///< (., n_cols) activations for float weights.
  size_t x_stride = 0;                ///< Floats from one row of x to the next.
  const QuantizedRows* xq = nullptr;  ///< (., n_cols) activations for the other formats.
  const int32_t* x_rows = nullptr;    ///< (n_x) which row of x or xq to take; null: 0..n_x-1.
  int n_x = 0;                        ///< Activation rows to multiply.

  float* y = nullptr;               ///< y[row * y_stride + r] receives weight row r times the
  size_t y_stride = 0;              ///< activation row, where row is y_rows[i] or i.
  const int32_t* y_rows = nullptr;  ///< (n_x) distinct; null: 0..n_x-1.

  int row_begin = 0;
  int row_end = 0;
  void* scratch = nullptr;  ///< kMatmulScratchBytes of this thread.
};

}  // namespace minke::cpu
