// Quantizing activations and the kernels over rows of floats, on every instruction set.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "tests/backends/cpu/kernel_support.h"

namespace minke::test {
namespace {

using cpu::KernelTable;

constexpr int kLengths[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 100, 576};

bool near(double a, double b, double tolerance) {
  return std::abs(a - b) <= tolerance * (1.0 + std::abs(b));
}

struct Quantized {
  explicit Quantized(int n_rows, int n_cols)
      : bytes(cpu::quantized_rows_bytes(n_rows, n_cols)),
        rows(cpu::quantized_rows_at(bytes.data(), n_rows, n_cols)) {}
  AlignedBytes bytes;
  cpu::QuantizedRows rows;
};

/// Of blocks [begin, end) of 32 values.
void check_scaled_sums(const cpu::QuantizedRows& rows, size_t begin, size_t end) {
  for (size_t block = begin; block < end; ++block)
    CHECK(rows.scaled_sum[block] ==
          float(rows.sum[2 * block] + rows.sum[2 * block + 1]) * rows.scale[block]);
}

}  // namespace

TEST_CASE("quantize_rows: within half a step, sums right, equal on every instruction set") {
  std::mt19937 rng(1);
  auto x = random_floats(rng, 4 * 128, 5.0f);
  std::fill_n(x.begin(), 32, 0.0f);
  for (size_t i = 32; i < 64; ++i) x[i] *= 1e-38f;
  for (size_t i = 64; i < 96; ++i) x[i] *= 1e37f;
  Quantized first(5, 128);
  for (const KernelTable* table : cpu::available_kernels()) {
    CAPTURE(std::string_view(table->name));
    Quantized quantized(5, 128);
    const auto& rows = quantized.rows;
    table->quantize_rows(x.data(), 128, 4, rows, 1);
    for (size_t i = 0; i < x.size(); ++i) {
      const float scale = rows.scale[(128 + i) / 32];
      CHECK(std::abs(float(rows.q[128 + i]) * scale - x[i]) <= 0.5001f * scale + 1e-35f);
      CHECK(std::abs(int(rows.q[128 + i])) <= 127);
    }
    for (size_t group = 8; group < 40; ++group) {
      int total = 0;
      for (size_t i = 0; i < 16; ++i) total += rows.q[16 * group + i];
      CHECK(total == rows.sum[group]);
    }
    check_scaled_sums(rows, 4, 20);
    if (table == cpu::available_kernels().front()) {
      table->quantize_rows(x.data(), 128, 4, first.rows, 1);
    }
    CHECK(std::equal(rows.q + 128, rows.q + 640, first.rows.q + 128));
    CHECK(std::equal(rows.scale + 4, rows.scale + 20, first.rows.scale + 4));
  }
}

TEST_CASE("quantize_rows: a block is the same whatever lies beside it") {
  constexpr int kBlocks = 9, kCols = 32 * kBlocks;
  std::mt19937 rng(3);
  auto x = random_floats(rng, kCols, 5.0f);
  std::fill_n(x.begin() + 32, 32, -0.0f);
  for (size_t i = 64; i < 96; ++i) x[i] *= 1e-36f;
  for (size_t i = 96; i < 128; ++i) x[i] *= 1e37f;
  const float inf = std::numeric_limits<float>::infinity();
  for (const float fault : {1.0f, inf, -inf, std::numeric_limits<float>::quiet_NaN()}) {
    x[4 * 32 + 17] = fault;
    for (const KernelTable* table : cpu::available_kernels()) {
      CAPTURE(std::string_view(table->name));
      Quantized together(1, kCols), alone(kBlocks, 32);
      table->quantize_rows(x.data(), kCols, 1, together.rows, 0);
      table->quantize_rows(x.data(), 32, kBlocks, alone.rows, 0);
      const auto same = [](const auto* a, const auto* b, size_t n) {
        return std::memcmp(a, b, n * sizeof(*a)) == 0;
      };
      CHECK(same(together.rows.q, alone.rows.q, kCols));
      CHECK(same(together.rows.scale, alone.rows.scale, kBlocks));
      CHECK(same(together.rows.sum, alone.rows.sum, size_t{2} * kBlocks));
      CHECK(same(together.rows.scaled_sum, alone.rows.scaled_sum, kBlocks));
      CHECK(std::isfinite(together.rows.scale[4]) == std::isfinite(fault));
    }
  }
}

TEST_CASE("quantize_rows: with rests a value has 16 bits") {
  constexpr int kRows = 3, kCols = 128;
  std::mt19937 rng(2);
  auto x = random_floats(rng, kRows * kCols, 5.0f);
  std::fill_n(x.begin(), 32, 0.0f);
  for (size_t i = 64; i < 96; ++i) x[i] *= 1e37f;
  const size_t n_bytes = cpu::quantized_rows_bytes(kRows, kCols, cpu::Rests::kYes);
  AlignedBytes first_bytes(n_bytes);
  const auto first = cpu::quantized_rows_at(first_bytes.data(), kRows, kCols, cpu::Rests::kYes);
  cpu::available_kernels().front()->quantize_rows(x.data(), kCols, kRows, first, 0);
  for (const KernelTable* table : cpu::available_kernels()) {
    CAPTURE(std::string_view(table->name));
    AlignedBytes bytes(n_bytes);
    const auto rows = cpu::quantized_rows_at(bytes.data(), kRows, kCols, cpu::Rests::kYes);
    REQUIRE(rows.rest_from == kRows);
    table->quantize_rows(x.data(), kCols, kRows, rows, 0);
    Quantized plain(kRows, kCols);
    table->quantize_rows(x.data(), kCols, kRows, plain.rows, 0);
    CHECK(std::equal(plain.rows.q, plain.rows.q + kRows * kCols, rows.q));
    for (size_t i = 0; i < x.size(); ++i) {
      const size_t rest = i + kRows * kCols;
      const double scale = double(rows.scale[i / 32]);
      const double value = rows.q[i] * scale + rows.q[rest] * double(rows.scale[rest / 32]);
      CHECK(std::abs(value - double(x[i])) <= 0.51 / 254 * scale);
    }
    for (size_t group = 0; group < 2 * kRows * kCols / 16; ++group) {
      int total = 0;
      for (size_t i = 0; i < 16; ++i) total += rows.q[16 * group + i];
      CHECK(total == rows.sum[group]);
    }
    check_scaled_sums(rows, 0, 2 * kRows * kCols / 32);
    CHECK(std::equal(rows.q, rows.q + 2 * kRows * kCols, first.q));
    CHECK(std::equal(rows.scale, rows.scale + 2 * kRows * kCols / 32, first.scale));
  }
}

TEST_CASE("quantize_rows: a value that is not finite spoils its block and no other") {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
        -std::numeric_limits<float>::infinity()}) {
    for (const size_t at : {size_t{0}, size_t{3}, size_t{31}}) {
      std::vector<float> x(192, 1.0f);
      x[at] = bad;
      for (const KernelTable* table : cpu::available_kernels()) {
        CAPTURE(std::string_view(table->name));
        AlignedBytes bytes(cpu::quantized_rows_bytes(1, 192, cpu::Rests::kYes));
        const auto rows = cpu::quantized_rows_at(bytes.data(), 1, 192, cpu::Rests::kYes);
        table->quantize_rows(x.data(), 192, 1, rows, 0);
        for (size_t block = 0; block < 12; ++block) {  // The rests' from 6 on.
          const bool spoilt = block % 6 == 0;
          CHECK(std::isnan(rows.scale[block]) == spoilt);
          CHECK(std::isnan(rows.scaled_sum[block]) == spoilt);
          CHECK(std::isfinite(rows.scale[block]) == !spoilt);
        }
      }
    }
  }
}

TEST_CASE("vector kernels agree with f64") {
  for (const KernelTable* table : cpu::available_kernels()) {
    for (const int n : kLengths) {
      CAPTURE(std::string_view(table->name));
      CAPTURE(n);
      std::mt19937 rng(static_cast<uint32_t>(n));
      const auto a = random_floats(rng, size_t(n), 3.0f), b = random_floats(rng, size_t(n), 3.0f);
      std::vector<float> y(size_t(n) + 1, 7.0f);
      double dot = 0, magnitude = 0, squares = 0, largest = -1e30;
      for (size_t i = 0; i < size_t(n); ++i) {
        dot += double(a[i]) * double(b[i]);
        magnitude += std::abs(double(a[i]) * double(b[i]));
        squares += double(a[i]) * double(a[i]);
        largest = std::max(largest, double(a[i]));
      }
      CHECK(std::abs(double(table->dot_f32(a.data(), b.data(), n)) - dot) <= 1e-6 * magnitude);
      CHECK(double(table->max_f32(a.data(), n)) == largest);

      const auto check = [&](auto expected, double tolerance) {
        for (size_t i = 0; i < size_t(n); ++i) CHECK(near(y[i], expected(i), tolerance));
        CHECK(y[size_t(n)] == 7.0f);
      };
      table->scale_f32(0.5f, a.data(), y.data(), n);
      check([&](size_t i) { return 0.5 * double(a[i]); }, 1e-7);
      table->axpy_f32(2.0f, b.data(), y.data(), n);
      check([&](size_t i) { return 0.5 * double(a[i]) + 2.0 * double(b[i]); }, 1e-6);
      table->add_f32(a.data(), b.data(), y.data(), n);
      check([&](size_t i) { return double(a[i]) + double(b[i]); }, 1e-6);
      table->silu_mul_f32(a.data(), b.data(), y.data(), n);
      check([&](size_t i) { return a[i] / (1 + std::exp(-double(a[i]))) * double(b[i]); }, 1e-6);
      table->rms_norm_f32(a.data(), b.data(), 1e-6f, y.data(), n);
      check([&](size_t i) { return a[i] / std::sqrt(squares / n + 1e-6) * double(b[i]); }, 1e-6);
      std::copy(a.begin(), a.end(), y.begin());
      const double total = double(table->exp_sum_f32(y.data(), n, 1.0f));
      check([&](size_t i) { return std::exp(double(a[i]) - 1.0); }, 5e-7);
      double expected = 0;
      for (size_t i = 0; i < size_t(n); ++i) expected += std::exp(double(a[i]) - 1.0);
      CHECK(near(total, expected, 1e-6));
    }
  }
}

TEST_CASE("exp over its whole range") {
  for (const KernelTable* table : cpu::available_kernels()) {
    CAPTURE(std::string_view(table->name));
    std::vector<float> x;
    for (int i = -8700; i <= 8800; ++i) x.push_back(float(i) / 100.0f);
    auto y = x;
    table->exp_sum_f32(y.data(), int(y.size()), 0.0f);
    double worst = 0;
    for (size_t i = 0; i < x.size(); ++i)
      worst = std::max(worst, std::abs(double(y[i]) / std::exp(double(x[i])) - 1.0));
    CHECK(worst < 2.5e-7);
    float far[] = {-1e30f, -INFINITY, -100.0f, 0.0f};
    table->exp_sum_f32(far, 4, 0.0f);
    CHECK(far[0] == 0.0f);
    CHECK(far[1] == 0.0f);
    CHECK(far[2] == 0.0f);
    CHECK(far[3] == 1.0f);
  }
}

TEST_CASE("silu of large magnitudes") {
  const float gate[] = {-1000.0f, -90.0f, 90.0f, 1000.0f}, up[] = {1, 1, 1, 1};
  for (const KernelTable* table : cpu::available_kernels()) {
    CAPTURE(std::string_view(table->name));
    float y[4];
    table->silu_mul_f32(gate, up, y, 4);
    CHECK(std::abs(y[0]) < 1e-30f);
    CHECK(std::abs(y[1]) < 1e-30f);
    CHECK(y[2] == 90.0f);
    CHECK(y[3] == 1000.0f);
  }
}

TEST_CASE("f32 matrix products agree with f64") {
  for (const KernelTable* table : cpu::available_kernels()) {
    for (const auto& size :
         {std::tuple{1, 1, 1}, {3, 5, 7}, {4, 64, 576}, {16, 33, 100}, {7, 70, 17}, {5, 16, 64}}) {
      // clang 14 cannot capture structured bindings.
      const int m = std::get<0>(size), n = std::get<1>(size), k = std::get<2>(size);
      CAPTURE(std::string_view(table->name));
      CAPTURE(m);
      CAPTURE(n);
      CAPTURE(k);
      std::mt19937 rng(11);
      const auto a = random_floats(rng, size_t(m * k)), b = random_floats(rng, size_t(n * k));
      const size_t ldc = size_t(n) + 3;
      std::vector<float> c(size_t(m) * ldc, 2.0f), d = c;
      // b read as (n, k) for the first product and as (k, n) for the second.
      table->gemm_nt_f32(m, n, k, a.data(), size_t(k), b.data(), size_t(k), c.data(), ldc);
      table->gemm_nn_add_f32(m, n, k, a.data(), size_t(k), b.data(), size_t(n), d.data(), ldc);
      for (size_t i = 0; i < size_t(m); ++i) {
        for (size_t j = 0; j < ldc; ++j) {
          if (j >= size_t(n)) {
            CHECK(c[i * ldc + j] == 2.0f);
            CHECK(d[i * ldc + j] == 2.0f);
            continue;
          }
          double nt = 0, nn = 2;
          for (size_t l = 0; l < size_t(k); ++l) {
            nt += double(a[i * size_t(k) + l]) * double(b[j * size_t(k) + l]);
            nn += double(a[i * size_t(k) + l]) * double(b[l * size_t(n) + j]);
          }
          CHECK(std::abs(c[i * ldc + j] - nt) < 1e-5 * std::sqrt(k));
          CHECK(std::abs(d[i * ldc + j] - nn) < 1e-5 * std::sqrt(k));
        }
      }
    }
  }
}

TEST_CASE("half conversions are those of quant/half.h") {
  std::vector<float> x;
  std::mt19937 rng(2);
  for (int i = 0; i < 10007; ++i) {
    const auto bits = static_cast<uint32_t>(rng());
    float value;
    std::memcpy(&value, &bits, 4);
    x.push_back(std::isnan(value) ? 1.0f : value);
  }
  for (const float v : {0.0f, -0.0f, 1e-8f, 6e-8f, 65504.0f, 65520.0f, 1e30f}) x.push_back(v);
  const auto n = int(x.size());
  std::vector<uint16_t> f16(x.size()), bf16(x.size());
  std::vector<float> y(x.size()), z(x.size());
  for (const KernelTable* table : cpu::available_kernels()) {
    CAPTURE(std::string_view(table->name));
    table->f32_to_f16(x.data(), f16.data(), n);
    table->f32_to_bf16(x.data(), bf16.data(), n);
    table->f16_to_f32(f16.data(), y.data(), n);
    table->bf16_to_f32(bf16.data(), z.data(), n);
    size_t wrong = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      wrong += f16[i] != f32_to_f16(x[i]);
      wrong += bf16[i] != f32_to_bf16(x[i]);
      wrong += y[i] != f16_to_f32(f16[i]);
      wrong += z[i] != bf16_to_f32(bf16[i]);
    }
    CHECK(wrong == 0);
  }
}

}  // namespace minke::test
