#include "backends/cpu/kernels/matmul.h"

namespace minke::cpu {
namespace {

constexpr size_t kAlign = 64;
/// Kernels may read this far beyond a row; what they read there does not count.
constexpr size_t kSlack = 64;

size_t aligned(size_t n_bytes) noexcept { return (n_bytes + kAlign - 1) / kAlign * kAlign; }

}  // namespace

size_t quantized_rows_bytes(int n_rows, int n_cols, Rests rests) noexcept {
  if (rests == Rests::kYes) n_rows *= 2;
  const size_t n = static_cast<size_t>(n_rows) * static_cast<size_t>(n_cols);
  return aligned(n) + 2 * aligned(n / kQuantBlock * sizeof(float)) +
         aligned(n / 16 * sizeof(int16_t)) + kSlack;
}

QuantizedRows quantized_rows_at(void* storage, int n_rows, int n_cols, Rests rests) noexcept {
  const int rest_from = rests == Rests::kYes ? n_rows : 0;
  n_rows += rest_from;
  const size_t n = static_cast<size_t>(n_rows) * static_cast<size_t>(n_cols);
  const size_t floats = aligned(n / kQuantBlock * sizeof(float));
  auto* bytes = static_cast<uint8_t*>(storage);
  QuantizedRows rows;
  rows.q = reinterpret_cast<int8_t*>(bytes);
  rows.scale = reinterpret_cast<float*>(bytes += aligned(n));
  rows.scaled_sum = reinterpret_cast<float*>(bytes += floats);
  rows.sum = reinterpret_cast<int16_t*>(bytes += floats);
  rows.n_cols = n_cols;
  rows.rest_from = rest_from;
  return rows;
}

bool wants_quantized_rows(DType dtype) noexcept {
  return dtype != DType::kF32 && dtype != DType::kF16 && dtype != DType::kBF16 &&
         dtype != DType::kF8_E4M3;
}

bool wants_rests(DType dtype) noexcept { return dtype == DType::kQ6_K || dtype == DType::kQ8_0; }

}  // namespace minke::cpu
