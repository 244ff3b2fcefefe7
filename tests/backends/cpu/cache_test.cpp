// Rows of the latent cache on every instruction set: as the formats' own decoders give them.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "backends/cpu/cpu_backend.h"
#include "runtime/graph.h"
#include "runtime/latent_cache.h"
#include "tests/backends/cpu/kernel_support.h"

namespace minke::test {
namespace {

using cpu::KernelTable;

/// The bits, so that the sign of a zero counts.
bool same_bits(const float* a, const float* b, size_t n) {
  return std::memcmp(a, b, n * sizeof(float)) == 0;
}

}  // namespace

TEST_CASE("decode_rows: the bits of the format's own decoder, for every format of a cache") {
  std::mt19937 rng(5);
  for (const DType dtype :
       {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0, DType::kF8_E4M3, DType::kQ4_0,
        DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kIQ4_NL, DType::kMXFP4}) {
    CAPTURE(dtype_name(dtype));
    for (const Fill fill :
         {Fill::kRandom, Fill::kZeros, Fill::kZeroScale, Fill::kDenormalScale, Fill::kHugeScale}) {
      constexpr int kRows = 3, kCols = 640;
      const auto bytes = random_weights(rng, dtype, kRows, kCols, fill);
      const auto expected = decoded(dtype, bytes, kRows * kCols);
      for (const KernelTable* table : cpu::available_kernels()) {
        CAPTURE(std::string_view(table->name));
        for (const int n : {0, 1, 31, 32, 33, 64, 96, 255, 256, 257, 512, 576, 640}) {
          CAPTURE(n);
          constexpr size_t kStride = kCols + 5;
          std::vector<float> y(kRows * kStride, 7.0f);
          table->decode_rows(dtype, bytes.data(), row_bytes(dtype, kCols), kRows, n, y.data(),
                             kStride);
          bool good = true;
          for (size_t r = 0; r < kRows; ++r) {
            const auto width = static_cast<size_t>(n);
            good &= same_bits(&y[r * kStride], &expected[r * kCols], width);
            for (size_t i = width; i < kStride; ++i) good &= y[r * kStride + i] == 7.0f;
          }
          CHECK(good);
        }
      }
    }
  }
}

TEST_CASE("decode_rows: all other formats, to rounding") {
  std::mt19937 rng(6);
  for (const DType dtype : all_formats()) {
    CAPTURE(dtype_name(dtype));
    const auto bytes = random_weights(rng, dtype, 2, 512);
    const auto expected = decoded(dtype, bytes, 1024);
    for (const KernelTable* table : cpu::available_kernels()) {
      CAPTURE(std::string_view(table->name));
      std::vector<float> y(1024);
      table->decode_rows(dtype, bytes.data(), row_bytes(dtype, 512), 2, 512, y.data(), 512);
      double worst = 0;
      for (size_t i = 0; i < y.size(); ++i)
        worst = std::max(worst, std::abs(double(y[i]) - double(expected[i])) /
                                    (1e-3 + std::abs(double(expected[i]))));
      CHECK(worst < 1e-4);
    }
  }
}

TEST_CASE("decode_rows: a row of ones is not a number, in every type of blocks") {
  for (const CacheType type : cache_types()) {
    CAPTURE(cache_type_name(type));
    const CacheRow row(type, 128, 64);
    if (row.holds_integers()) continue;  // attention reads it as it is: see latent_test.cpp
    const std::vector<std::byte> bytes(row.n_bytes(), std::byte{0xff});
    for (const KernelTable* table : cpu::available_kernels()) {
      CAPTURE(std::string_view(table->name));
      for (const CacheRow::Part& part : row.parts()) {
        std::vector<float> y(part.n_values);
        table->decode_rows(part.format->dtype, bytes.data(), 0, 1, static_cast<int>(part.n_values),
                           y.data(), 0);
        CHECK(std::ranges::all_of(y, [](float x) { return std::isnan(x); }));
      }
    }
  }
}

TEST_CASE("latent_store: a fault makes its row NaN, and no other") {
  constexpr int kRank = 64, kRope = 32, kWidth = kRank + kRope, kTokens = 3;
  std::mt19937 rng(7);
  auto kv = random_floats(rng, kTokens * kWidth);
  kv[0 * kWidth + kRank + 3] = 1e4f;  // turned by an angle of 0
  kv[1 * kWidth + kRank + 3] = std::numeric_limits<float>::infinity();
  const std::vector<float> norm(kRank, 1.0f);
  const std::vector<float> frequencies(kRope / 2, 0.0f);
  const std::vector<int32_t> tokens = {0, 1, 2};
  for (const KernelTable* table : cpu::available_kernels()) {
    CAPTURE(std::string_view(table->name));
    const auto backend = make_cpu_backend({.n_threads = 1, .isa = table->name});
    REQUIRE(backend);
    for (const CacheType type : cache_types()) {
      CAPTURE(cache_type_name(type));
      Graph graph(kTokens, kTokens);
      const Value x = graph.get_rows(graph.weight("kv", {DType::kF32, Shape{kTokens, kWidth}},
                                                  reinterpret_cast<const std::byte*>(kv.data())),
                                     graph.input(StepInput::kTokens));
      const Value angles = graph.rope_table(graph.input(StepInput::kPositions), frequencies);
      REQUIRE(graph.finish(
          graph.latent_store(x,
                             graph.weight("norm", {DType::kF32, Shape{kRank}},
                                          reinterpret_cast<const std::byte*>(norm.data())),
                             angles, {0, kRank, 1e-6f})));
      const auto cache = LatentCache::create(
          {.n_layers = 1, .n_latent = kRank, .n_rotated = kRope, .type = type, .n_blocks = 1},
          **backend);
      REQUIRE(cache);
      auto slice = (*cache)->extend((*cache)->add_sequence(), kTokens);
      REQUIRE(slice);
      const auto plan = (*backend)->compile(graph);
      REQUIRE(plan);
      REQUIRE((*plan)->run({tokens, tokens, tokens, {&*slice, 1}, cache->get()}));
      std::vector<float> rows[kTokens];
      for (int i = 0; i < kTokens; ++i) {
        rows[i].resize(kWidth);
        (*cache)->read_row(0, *slice, i, rows[i].data());
      }
      CHECK(rows[0][kRank + 3] == doctest::Approx(1e4).epsilon(0.01));
      for (const float v : rows[1]) CHECK(std::isnan(v));
      for (const int i : {0, 2})
        for (const float v : rows[i]) CHECK(std::isfinite(v));
    }
  }
}

}  // namespace minke::test
