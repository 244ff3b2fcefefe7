// Matrix products of every format on every instruction set against decoded weights, in f64.
#include "backends/cpu/kernels/matmul.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tests/backends/cpu/kernel_support.h"

namespace minke::test {
namespace {

using cpu::KernelTable;
using cpu::MatmulArgs;
using cpu::QuantizedRows;

constexpr int kCounts[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 31, 32, 33, 48, 129};
constexpr int kMostX = 129;

/// Weights, activations and the product that every kernel is compared with.
struct Case {
  Case(DType type, int rows, int cols, int n_x, Fill fill, uint32_t seed)
      : dtype(type), n_rows(rows), n_cols(cols), xq_bytes(cpu::quantized_rows_bytes(n_x, cols)) {
    std::mt19937 rng(seed);
    w = random_weights(rng, dtype, n_rows, n_cols, fill);
    x = random_floats(rng, static_cast<size_t>(n_x) * size_t(n_cols));
    for (size_t i = 0; i < size_t(n_cols); ++i) x[i] += 3.0f;  // One row that is not centred.
    const auto wf = decoded(dtype, w, size_t(n_rows) * size_t(n_cols));
    auto xf = x;
    if (cpu::wants_quantized_rows(dtype)) {
      xq = cpu::quantized_rows_at(xq_bytes.data(), n_x, n_cols);
      const KernelTable& scalar = *cpu::available_kernels().back();
      scalar.quantize_rows(x.data(), size_t(n_cols), n_x, xq, 0);
      for (size_t i = 0; i < x.size(); ++i) xf[i] = float(xq.q[i]) * xq.scale[i / 32];
    }
    largest_w = std::abs(*std::max_element(
        wf.begin(), wf.end(), [](float a, float b) { return std::abs(a) < std::abs(b); }));
    for (size_t i = 0; i < size_t(n_x); ++i) {
      for (size_t r = 0; r < size_t(n_rows); ++r) {
        double total = 0;
        for (size_t k = 0; k < size_t(n_cols); ++k)
          total += double(wf[r * size_t(n_cols) + k]) * double(xf[i * size_t(n_cols) + k]);
        expected.push_back(total);
      }
    }
  }

  /// Rows [begin, end) for the first n activation rows; the others stay -1.
  std::vector<float> run(const KernelTable& table, int n, int begin, int end,
                         const int32_t* x_rows = nullptr, const int32_t* y_rows = nullptr) {
    std::vector<float> y(expected.size(), -1.0f);
    AlignedBytes scratch(cpu::kMatmulScratchBytes);
    MatmulArgs args;
    args.w_type = dtype;
    args.w = w.data();
    args.w_row_bytes = row_bytes(dtype, size_t(n_cols));
    args.n_cols = n_cols;
    args.x = x.data();
    args.x_stride = size_t(n_cols);
    args.xq = &xq;
    args.x_rows = x_rows;
    args.n_x = n;
    args.y = y.data();
    args.y_stride = size_t(n_rows);
    args.y_rows = y_rows;
    args.row_begin = begin;
    args.row_end = end;
    args.scratch = scratch.data();
    table.matmul(args);
    return y;
  }

  /// Largest error, as a part of what n_cols products could add up to.
  double error(const std::vector<float>& y, int n, int begin, int end) const {
    double largest = 0;
    for (int i = 0; i < n; ++i) {
      for (int r = begin; r < end; ++r) {
        const size_t at = size_t(i) * size_t(n_rows) + size_t(r);
        const double difference = std::abs(double(y[at]) - expected[at]);
        largest = std::isnan(difference) ? INFINITY : std::max(largest, difference);
      }
    }
    const double scale = double(largest_w) * 3.0 * std::sqrt(double(n_cols)) + 1e-30;
    return largest / scale;
  }

  DType dtype;
  int n_rows, n_cols;
  std::vector<uint8_t> w;
  std::vector<float> x;
  AlignedBytes xq_bytes;
  QuantizedRows xq{};
  float largest_w = 0;
  std::vector<double> expected;  ///< (n_x, n_rows)
};

constexpr double kTolerance = 1e-5;

bool has_fma(const KernelTable& table) { return std::string_view(table.name) != "scalar"; }

}  // namespace

TEST_CASE("matmul: every format, every instruction set, every number of rows") {
  for (const DType dtype : all_formats()) {
    std::string covered;
    for (const int n_cols : {32, 64, 256, 768, 1408, 2048}) {
      if (size_t(n_cols) % find_format(dtype)->block_len != 0) continue;
      Case test(dtype, 37, n_cols, kMostX, Fill::kRandom, 1 + uint32_t(n_cols));
      std::vector<float> first;
      for (const KernelTable* table : cpu::available_kernels()) {
        const auto all = test.run(*table, kMostX, 0, 37);
        CAPTURE(std::string_view(table->name));
        CAPTURE(dtype_name(dtype));
        CAPTURE(n_cols);
        CHECK(test.error(all, kMostX, 0, 37) < kTolerance);
        for (const int n : kCounts) {
          // A row's product does not depend on how many rows are multiplied with it.
          const auto some = test.run(*table, n, 0, 37);
          CAPTURE(n);
          CHECK(std::equal(some.begin(), some.begin() + n * 37, all.begin()));
        }
        // Nor, for block formats, on the instruction set.
        if (!has_fma(*table) || !cpu::wants_quantized_rows(dtype)) continue;
        if (first.empty()) first = all;
        CHECK(all == first);
      }
    }
    for (const KernelTable* table : cpu::available_kernels())
      covered += fmt::format(" {}", table->name);
    fmt::print("matmul {:7} on{}\n", dtype_name(dtype), covered);
  }
}

TEST_CASE("matmul: rows so long that few of them fit in the scratch memory") {
  constexpr int kCols = 112 * 256;
  for (const DType dtype : {DType::kQ4_K, DType::kQ6_K, DType::kQ5_0}) {
    Case test(dtype, 17, kCols, 9, Fill::kRandom, 3);
    for (const KernelTable* table : cpu::available_kernels()) {
      CAPTURE(std::string_view(table->name));
      CAPTURE(dtype_name(dtype));
      const auto all = test.run(*table, 9, 0, 17);
      CHECK(test.error(all, 9, 0, 17) < kTolerance);
      for (int n = 1; n < 9; ++n) {
        CAPTURE(n);
        const auto some = test.run(*table, n, 0, 17);
        CHECK(std::equal(some.begin(), some.begin() + n * 17, all.begin()));
      }
    }
  }
}

TEST_CASE("matmul: extreme blocks") {
  for (const DType dtype : all_formats()) {
    if (!cpu::wants_quantized_rows(dtype)) continue;
    for (const Fill fill :
         {Fill::kZeros, Fill::kOnes, Fill::kZeroScale, Fill::kDenormalScale, Fill::kHugeScale}) {
      Case test(dtype, 18, 512, 9, fill, 7);
      for (const KernelTable* table : cpu::available_kernels()) {
        for (const int n : {1, 8, 9}) {
          CAPTURE(std::string_view(table->name));
          CAPTURE(dtype_name(dtype));
          CAPTURE(int(fill));
          CAPTURE(n);
          CHECK(test.error(test.run(*table, n, 0, 18), n, 0, 18) < kTolerance);
        }
      }
    }
  }
}

TEST_CASE("matmul: activations at their extremes do not overflow") {
  for (const DType dtype : all_formats()) {
    if (!cpu::wants_quantized_rows(dtype)) continue;
    for (const Fill fill : {Fill::kZeros, Fill::kOnes, Fill::kRandom}) {
      Case test(dtype, 33, 256, 8, fill, 9);
      for (size_t i = 0; i < test.x.size(); ++i)
        test.x[i] = i < 256 ? 1.0f : i < 512 ? -1.0f : (i % 2 == 0 ? 1.0f : -1.0f);
      const KernelTable& scalar = *cpu::available_kernels().back();
      scalar.quantize_rows(test.x.data(), 256, 8, test.xq, 0);
      const auto wf = decoded(dtype, test.w, 33 * 256);
      for (size_t i = 0; i < 8; ++i) {
        for (size_t r = 0; r < 33; ++r) {
          double total = 0;
          for (size_t k = 0; k < 256; ++k)
            total += double(wf[r * 256 + k]) * double(test.x[i * 256 + k]);
          test.expected[i * 33 + r] = total;
        }
      }
      for (const KernelTable* table : cpu::available_kernels()) {
        for (const int n : {1, 5, 8}) {
          CAPTURE(std::string_view(table->name));
          CAPTURE(dtype_name(dtype));
          CAPTURE(int(fill));
          CAPTURE(n);
          CHECK(test.error(test.run(*table, n, 0, 33), n, 0, 33) < kTolerance);
        }
      }
    }
  }
}

TEST_CASE("matmul: row ranges touch nothing else and agree with the whole") {
  for (const DType dtype : all_formats()) {
    Case test(dtype, 70, 256, 8, Fill::kRandom, 3);
    for (const KernelTable* table : cpu::available_kernels()) {
      for (const int n : {1, 2, 6, 8}) {
        const auto whole = test.run(*table, n, 0, 70);
        for (const auto& range :
             {std::pair{0, 1}, {1, 2}, {5, 38}, {31, 70}, {4, 4}, {3, 18}, {3, 19}, {3, 20}}) {
          const int begin = range.first, end = range.second;  // clang 14 cannot capture bindings
          const auto part = test.run(*table, n, begin, end);
          CAPTURE(std::string_view(table->name));
          CAPTURE(dtype_name(dtype));
          CAPTURE(n);
          CAPTURE(begin);
          size_t wrong = 0;
          for (size_t i = 0; i < part.size(); ++i) {
            const int row = int(i % 70);
            const bool inside = i / 70 < size_t(n) && row >= begin && row < end;
            wrong += part[i] != (inside ? whole[i] : -1.0f);
          }
          CHECK(wrong == 0);
        }
      }
    }
  }
}

TEST_CASE("matmul: gathers activation rows and scatters results") {
  const std::vector<int32_t> x_rows = {5, 0, 0, 9, 3}, y_rows = {8, 2, 0, 1, 6};
  for (const DType dtype : all_formats()) {
    Case test(dtype, 40, 256, 10, Fill::kRandom, 4);
    for (const KernelTable* table : cpu::available_kernels()) {
      const auto all = test.run(*table, 10, 0, 40);
      for (const int n : {1, 3, 5}) {
        const auto y = test.run(*table, n, 0, 40, x_rows.data(), y_rows.data());
        CAPTURE(std::string_view(table->name));
        CAPTURE(dtype_name(dtype));
        for (size_t i = 0; i < size_t(n); ++i)
          CHECK(std::equal(all.begin() + 40 * x_rows[i], all.begin() + 40 * x_rows[i] + 40,
                           y.begin() + 40 * y_rows[i]));
      }
    }
  }
}

TEST_CASE("matmul: float weights of any length") {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (const int n_cols : {1, 3, 15, 16, 17, 33, 100}) {
      Case test(dtype, 9, n_cols, 6, Fill::kRandom, 5);
      for (const KernelTable* table : cpu::available_kernels()) {
        CAPTURE(std::string_view(table->name));
        CAPTURE(n_cols);
        CHECK(test.error(test.run(*table, 6, 0, 9), 6, 0, 9) < 1e-6);
      }
    }
  }
}

}  // namespace minke::test
