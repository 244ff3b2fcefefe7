#include "backends/cpu/kernels/matmul_float.h"

#include <cstring>

#include "backends/cpu/kernels/dot_block.h"
#include "quant/f8_e4m3.h"

namespace minke::cpu::MINKE_ISA_NS {
namespace {

// Rows times vectors of columns whose sums gemm_nn_add_f32 keeps in registers.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kSumRows = 4;
constexpr int kSumVectors = 4;
#else
constexpr int kSumRows = 4;
constexpr int kSumVectors = 2;
#endif

/// Columns that are multiplied at a time. What they add up to is added to y, but for the first.
struct Part {
  int first;
  int n;
};

/// kR weight rows from `row` on times kC activation rows from `column` on; w are the rows' elements
/// from part.first on.
template <class Row, int kR, int kC>
void multiply_block(const MatmulArgs& args, const typename Row::Element* const (&w)[kR],
                    const Part& part, int row, int column) {
  const float* x[kC];
  for (int c = 0; c < kC; ++c) {
    const int i = args.x_rows != nullptr ? args.x_rows[column + c] : column + c;
    x[c] = args.x + static_cast<size_t>(i) * args.x_stride + part.first;
  }
  float dots[kC][kR];
  dot_rows<Row, kR, kC>(w, x, part.n, dots);
  for (int c = 0; c < kC; ++c) {
    const int i = args.y_rows != nullptr ? args.y_rows[column + c] : column + c;
    float* y = args.y + static_cast<size_t>(i) * args.y_stride + row;
    for (int r = 0; r < kR; ++r) y[r] = part.first == 0 ? dots[c][r] : y[r] + dots[c][r];
  }
}

template <class Row, int kR>
void multiply_columns(const MatmulArgs& args, const typename Row::Element* const (&w)[kR],
                      const Part& part, int row, int begin, int end) {
  int c = begin;
  for (; c + kDotColumns <= end; c += kDotColumns)
    multiply_block<Row, kR, kDotColumns>(args, w, part, row, c);
  for (; c < end; ++c) multiply_block<Row, kR, 1>(args, w, part, row, c);
}

inline const uint8_t* weight_row(const MatmulArgs& args, int row) {
  return static_cast<const uint8_t*>(args.w) + static_cast<size_t>(row) * args.w_row_bytes;
}

template <class Row, int kR>
void multiply_rows(const MatmulArgs& args, int row, int begin, int end) {
  const typename Row::Element* w[kR];
  for (int r = 0; r < kR; ++r)
    w[r] = reinterpret_cast<const typename Row::Element*>(weight_row(args, row + r));
  multiply_columns<Row, kR>(args, w, {0, args.n_cols}, row, begin, end);
}

template <class Row>
void multiply_all(const MatmulArgs& args) {
  // So many activation rows stay in the L2 cache while all weight rows pass by.
  constexpr int kColumnBlock = 32;
  for (int begin = 0; begin < args.n_x; begin += kColumnBlock) {
    const int end = args.n_x - begin < kColumnBlock ? args.n_x : begin + kColumnBlock;
    int row = args.row_begin;
    for (; row + kDotRows <= args.row_end; row += kDotRows)
      multiply_rows<Row, kDotRows>(args, row, begin, end);
    for (; row < args.row_end; ++row) multiply_rows<Row, 1>(args, row, begin, end);
  }
}

/// Columns of F8 rows that become f32 together: four rows fit in the L1 cache.
constexpr int kF8Columns = 1024;
static_assert(kDotRows * kF8Columns * sizeof(float) <= kMatmulScratchBytes);

template <int kR>
void multiply_f8_rows(const MatmulArgs& args, int row) {
  constexpr auto kLen = static_cast<int>(BlockF8_E4M3::kLen);
  auto* floats = static_cast<float*>(args.scratch);
  for (int first = 0; first < args.n_cols; first += kF8Columns) {
    const int n = args.n_cols - first < kF8Columns ? args.n_cols - first : kF8Columns;
    const float* w[kR];
    for (int r = 0; r < kR; ++r) {
      float* to = floats + r * kF8Columns;
      w[r] = to;
      const auto* block =
          reinterpret_cast<const BlockF8_E4M3*>(weight_row(args, row + r)) + first / kLen;
      for (int i = 0; i < n; i += kLen, ++block) {
        float values[kLen];
        for (int k = 0; k < kLen; ++k) values[k] = block->scale * e4m3_to_f32(block->codes[k]);
        std::memcpy(to + i, values, sizeof(values));
      }
    }
    multiply_columns<RowF32, kR>(args, w, {first, n}, row, 0, args.n_x);
  }
}

void multiply_f8(const MatmulArgs& args) {
  int row = args.row_begin;
  for (; row + kDotRows <= args.row_end; row += kDotRows) multiply_f8_rows<kDotRows>(args, row);
  for (; row < args.row_end; ++row) multiply_f8_rows<1>(args, row);
}

/// C (kR, n) += A (kR, k) * B (k, n), kV vectors of columns at a time.
template <int kR, int kV>
int add_columns(int n, int k, const float* a, size_t lda, const float* b, size_t ldb, float* c,
                size_t ldc, int first) {
  int col = first;
  for (; col + kV * kFloats <= n; col += kV * kFloats) {
    VF sums[kR][kV];
    MINKE_UNROLL
    for (int r = 0; r < kR; ++r) {
      MINKE_UNROLL
      for (int v = 0; v < kV; ++v)
        sums[r][v] = load(c + static_cast<size_t>(r) * ldc + col + v * kFloats);
    }
    for (int i = 0; i < k; ++i) {
      VF bs[kV];
      MINKE_UNROLL
      for (int v = 0; v < kV; ++v)
        bs[v] = load(b + static_cast<size_t>(i) * ldb + col + v * kFloats);
      MINKE_UNROLL
      for (int r = 0; r < kR; ++r) {
        const VF as = splat(a[static_cast<size_t>(r) * lda + static_cast<size_t>(i)]);
        MINKE_UNROLL
        for (int v = 0; v < kV; ++v) sums[r][v] = madd(as, bs[v], sums[r][v]);
      }
    }
    MINKE_UNROLL
    for (int r = 0; r < kR; ++r) {
      MINKE_UNROLL
      for (int v = 0; v < kV; ++v)
        store(c + static_cast<size_t>(r) * ldc + col + v * kFloats, sums[r][v]);
    }
  }
  return col;
}

template <int kR>
void add_rows(int n, int k, const float* a, size_t lda, const float* b, size_t ldb, float* c,
              size_t ldc) {
  int col = add_columns<kR, kSumVectors>(n, k, a, lda, b, ldb, c, ldc, 0);
  col = add_columns<kR, 1>(n, k, a, lda, b, ldb, c, ldc, col);
  if (col == n) return;
  const int rest = n - col;
  VF sums[kR];
  for (int r = 0; r < kR; ++r) sums[r] = load_some(c + static_cast<size_t>(r) * ldc + col, rest);
  for (int i = 0; i < k; ++i) {
    const VF bs = load_some(b + static_cast<size_t>(i) * ldb + col, rest);
    for (int r = 0; r < kR; ++r)
      sums[r] = madd(splat(a[static_cast<size_t>(r) * lda + static_cast<size_t>(i)]), bs, sums[r]);
  }
  for (int r = 0; r < kR; ++r) store_some(c + static_cast<size_t>(r) * ldc + col, sums[r], rest);
}

}  // namespace

void matmul_float(const MatmulArgs& args) noexcept {
  if (args.w_type == DType::kF32) return multiply_all<RowF32>(args);
  if (args.w_type == DType::kF16) return multiply_all<RowF16>(args);
  if (args.w_type == DType::kF8_E4M3) return multiply_f8(args);
  multiply_all<RowBF16>(args);
}

void gemm_nt_f32(int m, int n, int k, const float* a, size_t lda, const float* b, size_t ldb,
                 float* c, size_t ldc) noexcept {
  MatmulArgs args;
  args.w = b;
  args.w_row_bytes = ldb * sizeof(float);
  args.n_cols = k;
  args.x = a;
  args.x_stride = lda;
  args.n_x = m;
  args.y = c;
  args.y_stride = ldc;
  args.row_end = n;
  multiply_all<RowF32>(args);
}

void gemm_nn_add_f32(int m, int n, int k, const float* a, size_t lda, const float* b, size_t ldb,
                     float* c, size_t ldc) noexcept {
  int row = 0;
  for (; row + kSumRows <= m; row += kSumRows)
    add_rows<kSumRows>(n, k, a + static_cast<size_t>(row) * lda, lda, b, ldb,
                       c + static_cast<size_t>(row) * ldc, ldc);
  for (; row < m; ++row)
    add_rows<1>(n, k, a + static_cast<size_t>(row) * lda, lda, b, ldb,
                c + static_cast<size_t>(row) * ldc, ldc);
}

}  // namespace minke::cpu::MINKE_ISA_NS
