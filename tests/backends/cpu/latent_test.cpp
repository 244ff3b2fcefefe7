// Attention over cached rows in integers, on every instruction set.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/cache_row.h"
#include "tests/backends/cpu/kernel_support.h"

namespace minke::test {
namespace {

using cpu::KernelTable;
using cpu::LatentDims;

struct Result {
  std::vector<float> m, l, o;
};

/// Query rows against cached rows, as attend() runs them.
struct LatentCase {
  LatentDims dims;
  int n_rows, n_keys;
  std::vector<float> queries, keys;  ///< (rows, rank + rope)
  std::vector<int> visible;          ///< (n_rows) of all keys
  float scale = 0.1f;

  LatentCase(std::mt19937& rng, LatentDims d, int rows, int n)
      : dims(d),
        n_rows(rows),
        n_keys(n),
        queries(random_floats(rng, size_t(rows * width()))),
        keys(random_floats(rng, size_t(n * width()))),
        visible(size_t(rows), n) {}
  int width() const { return dims.rank + dims.rope; }
};

Result attend(const KernelTable& table, const LatentCase& c) {
  AlignedBytes keys_bytes(cpu::latent_keys_bytes(c.dims, table.lanes));
  AlignedBytes queries_bytes(cpu::latent_queries_bytes(c.dims, table.lanes, c.n_rows));
  auto keys = cpu::latent_keys_at(keys_bytes.data(), c.dims, table.lanes);
  const auto queries = cpu::latent_queries_at(queries_bytes.data(), c.dims, table.lanes, c.n_rows);
  const auto rows = size_t(c.n_rows);
  Result r{std::vector<float>(rows, cpu::kLatentNoScore), std::vector<float>(rows),
           std::vector<float>(rows * size_t(c.dims.rank))};
  table.pack_latent_queries(c.queries.data(), size_t(c.width()), c.n_rows, c.scale, queries);
  for (int key = 0; key < c.n_keys; key += cpu::kLatentKeys) {
    const int n = std::min(cpu::kLatentKeys, c.n_keys - key);
    table.pack_latent_keys(cpu::LatentRows::kF32, &c.keys[size_t(key * c.width())], n, keys);
    std::vector<int32_t> visible;
    for (const int v : c.visible) visible.push_back(std::clamp(v - key, 0, n));
    table.attend_latent(queries, keys, n,
                        {c.n_rows, visible.data(), r.m.data(), r.l.data(), r.o.data()}, {});
  }
  return r;
}

/// o / l in f64.
std::vector<double> expected(const LatentCase& c) {
  std::vector<double> out;
  const auto width = size_t(c.width()), rank = size_t(c.dims.rank);
  for (size_t r = 0; r < size_t(c.n_rows); ++r) {
    std::vector<double> weights(size_t(c.visible[r])), o(rank);
    double largest = -1e30, sum = 0;
    for (size_t j = 0; j < weights.size(); ++j) {
      for (size_t i = 0; i < width; ++i)
        weights[j] +=
            double(c.scale) * double(c.queries[r * width + i]) * double(c.keys[j * width + i]);
      largest = std::max(largest, weights[j]);
    }
    for (double& w : weights) sum += w = std::exp(w - largest);
    for (size_t j = 0; j < weights.size(); ++j)
      for (size_t i = 0; i < rank; ++i) o[i] += weights[j] / sum * double(c.keys[j * width + i]);
    out.insert(out.end(), o.begin(), o.end());
  }
  return out;
}

/// The distance of a case's results, as a fraction of their size.
double error(const LatentCase& c, const Result& got) {
  const std::vector<double> want = expected(c);
  double wrong = 0, size = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    const double o = double(got.o[i]) / double(got.l[i / size_t(c.dims.rank)]);
    wrong += (o - want[i]) * (o - want[i]);
    size += want[i] * want[i];
  }
  return std::sqrt(wrong / size);
}

}  // namespace

TEST_CASE("latent attention is near the exact one, and the same on all that have FMA") {
  std::mt19937 rng(5);
  const std::vector<std::pair<int, int>> all_dims = {
      {64, 32}, {512, 64}, {16, 2}, {100, 34}, {72, 128}};
  for (const auto& dims : all_dims) {
    // Not a structured binding: clang 14 cannot capture one.
    const int rank = dims.first, rope = dims.second;
    for (const int n_rows : {1, 4, 16, 19}) {
      for (const int n_keys : {1, 15, 16, 17, 64, 150}) {
        LatentCase c(rng, {rank, rope}, n_rows, n_keys);
        for (int r = 0; r < n_rows; ++r)  // the last rows see less, as in a prompt
          c.visible[size_t(n_rows - 1 - r)] = std::max(1, n_keys - 3 * r);
        const Result first = attend(*cpu::available_kernels().front(), c);
        for (const KernelTable* table : cpu::available_kernels()) {
          CAPTURE(std::string_view(table->name));
          CAPTURE(rank);
          CAPTURE(n_rows);
          CAPTURE(n_keys);
          const Result got = attend(*table, c);
          CHECK(error(c, got) < 0.03);
          if (std::string_view(table->name) == "scalar") continue;
          CHECK(got.m == first.m);
          CHECK(got.l == first.l);
          CHECK(got.o == first.o);
        }
      }
    }
  }
}

TEST_CASE("a row's latent attention does not depend on the rows beside it") {
  std::mt19937 rng(6);
  const LatentCase all(rng, {64, 32}, 21, 100);
  for (const KernelTable* table : cpu::available_kernels()) {
    CAPTURE(std::string_view(table->name));
    const Result together = attend(*table, all);
    for (const int r : {0, 1, 15, 16, 20}) {
      LatentCase one = all;
      one.n_rows = 1;
      one.visible.resize(1);
      const auto at = all.queries.begin() + r * all.width();
      one.queries.assign(at, at + all.width());
      const Result alone = attend(*table, one);
      CHECK(alone.l[0] == together.l[size_t(r)]);
      CHECK(std::equal(alone.o.begin(), alone.o.end(), together.o.begin() + r * 64));
    }
  }
}

TEST_CASE("small weights beside a large one keep their sum") {
  // One key has 90 % of the weight; each of the others has less than half a step of rounding.
  std::mt19937 rng(7);
  LatentCase c(rng, {64, 32}, 1, 64);
  std::fill(c.queries.begin(), c.queries.end(), 0.0f);
  c.queries[64] = 1.0f;
  c.scale = 1.0f;
  for (int j = 0; j < 64; ++j) {
    for (int i = 0; i < 32; ++i) c.keys[size_t(j * 96 + 64 + i)] = 0.0f;
    for (int i = 0; i < 64; ++i) c.keys[size_t(j * 96 + i)] = j == 20 ? 0.0f : 1.0f;
  }
  c.keys[20 * 96] = 1.0f;  // so that all rows have one scale
  c.keys[20 * 96 + 64] = std::log(9.0f * 63.0f);
  for (const KernelTable* table : cpu::available_kernels()) {
    CAPTURE(std::string_view(table->name));
    const Result got = attend(*table, c);
    CHECK(double(got.o[1] / got.l[0]) == doctest::Approx(0.1).epsilon(0.08));
  }
}

TEST_CASE("latent attention tells of what is not finite") {
  std::mt19937 rng(8);
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (const size_t at : {size_t{0}, size_t{95}, size_t{96 * 30 + 70}}) {
      LatentCase c(rng, {64, 32}, 2, 40);
      c.keys[at] = bad;
      for (const KernelTable* table : cpu::available_kernels()) {
        CAPTURE(std::string_view(table->name));
        const Result got = attend(*table, c);
        CHECK(std::isnan(got.l[0]));
        CHECK(std::isnan(got.l[1]));
      }
    }
    LatentCase c(rng, {64, 32}, 2, 40);
    c.queries[96 + 3] = bad;
    for (const KernelTable* table : cpu::available_kernels()) {
      const Result got = attend(*table, c);
      CHECK(std::isfinite(got.l[0]));
      CHECK(std::isnan(got.l[1]));
    }
  }
}

TEST_CASE("keys of integers are packed as they are") {
  std::mt19937 rng(10);
  for (const LatentDims dims : {LatentDims{512, 64}, LatentDims{100, 34}}) {
    constexpr int kRows = 7;
    const CacheRow row(CacheType::kQ8, dims.rank, dims.rope);
    const auto values = random_floats(rng, kRows * row.n_values());
    std::vector<std::byte> rows(kRows * row.n_bytes());
    std::vector<float> floats(values.size());
    for (size_t r = 0; r < kRows; ++r) {
      row.encode(&values[r * row.n_values()], &rows[r * row.n_bytes()]);
      row.decode(&rows[r * row.n_bytes()], &floats[r * row.n_values()]);
    }
    for (const KernelTable* table : cpu::available_kernels()) {
      CAPTURE(std::string_view(table->name));
      const size_t n_bytes = cpu::latent_keys_bytes(dims, table->lanes);
      AlignedBytes a(n_bytes), b(n_bytes);
      auto integers = cpu::latent_keys_at(a.data(), dims, table->lanes);
      auto rounded = cpu::latent_keys_at(b.data(), dims, table->lanes);
      table->pack_latent_keys(cpu::LatentRows::kIntegers, rows.data(), kRows, integers);
      table->pack_latent_keys(cpu::LatentRows::kF32, floats.data(), kRows, rounded);
      // The floats were integers: rounding them gives these again, with the same scales but for the
      // rounding of a product and a division.
      for (int r = 0; r < 16; ++r) {
        CHECK(integers.scale[r] == doctest::Approx(rounded.scale[r]).epsilon(1e-6));
        CHECK(integers.rotated_scale[r] == doctest::Approx(rounded.rotated_scale[r]).epsilon(1e-6));
        CHECK((integers.scale[r] != 0) == (r < kRows));
        CHECK(integers.start[r] == rounded.start[r]);
      }
      const auto n_integers =
          size_t(reinterpret_cast<char*>(integers.scale) - static_cast<char*>(a.data()));
      CHECK(std::memcmp(a.data(), b.data(), n_integers) == 0);
    }
  }
}

TEST_CASE("integers that are read where they lie give the same as copies of them") {
  std::mt19937 rng(12);
  for (const LatentDims dims : {LatentDims{512, 64}, LatentDims{128, 32}, LatentDims{96, 16},
                                LatentDims{80, 24}, LatentDims{512, 34}, LatentDims{100, 34}}) {
    // A last row that nobody sees: 48 rows can be read as they are, 47 are copied.
    constexpr int kRows = 48;
    LatentCase c(rng, dims, 21, kRows);
    const CacheRow row(CacheType::kQ8, dims.rank, dims.rope);
    std::vector<std::byte> rows(kRows * row.n_bytes());
    for (size_t key = 0; key < kRows; ++key)
      row.encode(&c.keys[key * size_t(c.width())], &rows[key * row.n_bytes()]);
    for (size_t r = 0; r < c.visible.size(); ++r) c.visible[r] = kRows - 1 - int(r);
    for (const KernelTable* table : cpu::available_kernels()) {
      CAPTURE(std::string_view(table->name));
      AlignedBytes keys_bytes(cpu::latent_keys_bytes(dims, table->lanes));
      AlignedBytes queries_bytes(cpu::latent_queries_bytes(dims, table->lanes, c.n_rows));
      auto keys = cpu::latent_keys_at(keys_bytes.data(), dims, table->lanes);
      const auto queries =
          cpu::latent_queries_at(queries_bytes.data(), dims, table->lanes, c.n_rows);
      table->pack_latent_queries(c.queries.data(), size_t(c.width()), c.n_rows, c.scale, queries);
      std::vector<std::vector<float>> results;
      for (const int n : {kRows - 1, kRows, kRows - 1}) {
        const auto n_rows = size_t(c.n_rows);
        std::vector<float> m(n_rows, cpu::kLatentNoScore), l(n_rows), o(n_rows * size_t(dims.rank));
        table->pack_latent_keys(cpu::LatentRows::kIntegers, rows.data(), n, keys);
        const bool in_place = static_cast<const void*>(keys.bytes) == &rows[sizeof(float)];
        CHECK(in_place == (n == kRows && dims.rank % (4 * table->lanes) == 0 &&
                           dims.rope % (2 * table->lanes) == 0));
        table->attend_latent(queries, keys, n,
                             {c.n_rows, c.visible.data(), m.data(), l.data(), o.data()}, {});
        o.insert(o.end(), m.begin(), m.end());
        o.insert(o.end(), l.begin(), l.end());
        results.push_back(std::move(o));
      }
      CHECK(results[0] == results[1]);
      CHECK(results[0] == results[2]);
    }
  }
}

TEST_CASE("a row of ones among integers makes all that see it not-a-number") {
  std::mt19937 rng(11);
  const LatentCase c(rng, {64, 32}, 3, 20);
  const CacheRow row(CacheType::kQ8, c.dims.rank, c.dims.rope);
  for (const KernelTable* table : cpu::available_kernels()) {
    CAPTURE(std::string_view(table->name));
    for (const bool broken : {false, true}) {
      std::vector<std::byte> rows(size_t(c.n_keys) * row.n_bytes());
      for (size_t key = 0; key < size_t(c.n_keys); ++key)
        row.encode(&c.keys[key * size_t(c.width())], &rows[key * row.n_bytes()]);
      if (broken) std::fill_n(&rows[7 * row.n_bytes()], row.n_bytes(), std::byte{0xff});
      AlignedBytes keys_bytes(cpu::latent_keys_bytes(c.dims, table->lanes));
      AlignedBytes queries_bytes(cpu::latent_queries_bytes(c.dims, table->lanes, c.n_rows));
      auto keys = cpu::latent_keys_at(keys_bytes.data(), c.dims, table->lanes);
      const auto queries =
          cpu::latent_queries_at(queries_bytes.data(), c.dims, table->lanes, c.n_rows);
      table->pack_latent_queries(c.queries.data(), size_t(c.width()), c.n_rows, c.scale, queries);
      table->pack_latent_keys(cpu::LatentRows::kIntegers, rows.data(), c.n_keys, keys);
      std::vector<float> m(3, cpu::kLatentNoScore), l(3), o(3 * size_t(c.dims.rank));
      table->attend_latent(queries, keys, c.n_keys,
                           {c.n_rows, c.visible.data(), m.data(), l.data(), o.data()}, {});
      for (const float sum : l) CHECK(std::isnan(sum) == broken);
    }
  }
}

TEST_CASE("keys of half types are packed as their f32 values") {
  std::mt19937 rng(9);
  const LatentDims dims{100, 34};
  const auto values = random_floats(rng, size_t(5 * 134));
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    std::vector<uint16_t> halves;
    std::vector<float> floats;
    for (const float v : values) {
      halves.push_back(dtype == DType::kF16 ? f32_to_f16(v) : f32_to_bf16(v));
      floats.push_back(dtype == DType::kF16 ? f16_to_f32(halves.back())
                                            : bf16_to_f32(halves.back()));
    }
    for (const KernelTable* table : cpu::available_kernels()) {
      CAPTURE(std::string_view(table->name));
      const size_t n_bytes = cpu::latent_keys_bytes(dims, table->lanes);
      AlignedBytes a(n_bytes), b(n_bytes);
      auto packed = cpu::latent_keys_at(a.data(), dims, table->lanes);
      auto expected_keys = cpu::latent_keys_at(b.data(), dims, table->lanes);
      table->pack_latent_keys(dtype == DType::kF16 ? cpu::LatentRows::kF16 : cpu::LatentRows::kBF16,
                              halves.data(), 5, packed);
      table->pack_latent_keys(cpu::LatentRows::kF32, floats.data(), 5, expected_keys);
      CHECK(std::memcmp(a.data(), b.data(), n_bytes) == 0);
    }
  }
}

}  // namespace minke::test
