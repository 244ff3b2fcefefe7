#include "backends/cpu/kernels/matmul_float.h"

#include "backends/cpu/kernels/dot_block.h"

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

/// kR weight rows from `row` on times kC activation rows from `column` on.
template <class Row, int kR, int kC>
void multiply_block(const MatmulArgs& args, int row, int column) {
  const typename Row::Element* w[kR];
  const float* x[kC];
  for (int r = 0; r < kR; ++r) {
    const auto* bytes = static_cast<const uint8_t*>(args.w);
    w[r] = reinterpret_cast<const typename Row::Element*>(bytes + static_cast<size_t>(row + r) *
                                                                      args.w_row_bytes);
  }
  for (int c = 0; c < kC; ++c) {
    const int i = args.x_rows != nullptr ? args.x_rows[column + c] : column + c;
    x[c] = args.x + static_cast<size_t>(i) * args.x_stride;
  }
  float dots[kC][kR];
  dot_rows<Row, kR, kC>(w, x, args.n_cols, dots);
  for (int c = 0; c < kC; ++c) {
    const int i = args.y_rows != nullptr ? args.y_rows[column + c] : column + c;
    float* y = args.y + static_cast<size_t>(i) * args.y_stride + row;
    for (int r = 0; r < kR; ++r) y[r] = dots[c][r];
  }
}

template <class Row, int kR>
void multiply_rows(const MatmulArgs& args, int row, int begin, int end) {
  int c = begin;
  for (; c + kDotColumns <= end; c += kDotColumns)
    multiply_block<Row, kR, kDotColumns>(args, row, c);
  for (; c < end; ++c) multiply_block<Row, kR, 1>(args, row, c);
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
