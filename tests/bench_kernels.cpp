// Speed of the matrix product kernels on one thread, beside the limits of the machine:
//   bench_kernels [ISA...]      (without names: the best)
// Few activation rows are judged by the bytes of weights read, many by multiply-adds. Times are
// the thread's processor time, so that other work on the machine disturbs less.
#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "runtime/cache_row.h"
#include "tests/backends/cpu/kernel_support.h"

namespace minke::test {
namespace {

double now() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return double(t.tv_sec) + 1e-9 * double(t.tv_nsec);
}

/// Best of several runs, seconds.
double best_time(const std::function<void()>& run, int n_runs) {
  double best = 1e30;
  for (int i = 0; i < n_runs; ++i) {
    const double begin = now();
    run();
    best = std::min(best, now() - begin);
  }
  return best;
}

/// Sums `bytes` with the widest loads; GB/s.
double read_bandwidth(const std::vector<uint8_t>& bytes) {
  volatile uint64_t sink = 0;
  const auto sum = [&] {
    uint64_t total[8] = {};
    for (size_t i = 0; i + 64 <= bytes.size(); i += 64) {
      __builtin_prefetch(bytes.data() + i + 4096);
      uint64_t words[8];
      std::memcpy(words, &bytes[i], 64);
      for (size_t j = 0; j < 8; ++j) total[j] += words[j];
    }
    for (const uint64_t part : total) sink = sink + part;
  };
  return double(bytes.size()) / best_time(sum, 5) / 1e9;
}

#if defined(__x86_64__)
/// Multiply-adds of bytes a second (in 1e9) when nothing but vpdpbusd runs; 0 without VNNI.
double int8_peak() {
  if (!__builtin_cpu_supports("avx512vnni")) return 0;
  constexpr int kTurns = 2'000'000;
  const double seconds = best_time(
      [] {
        // Twelve sums, as many as the latency needs to keep two units busy.
        for (int turn = 0; turn < kTurns; ++turn) {
          asm volatile(
              "vpdpbusd %%zmm12, %%zmm12, %%zmm0\n vpdpbusd %%zmm12, %%zmm12, %%zmm1\n"
              "vpdpbusd %%zmm12, %%zmm12, %%zmm2\n vpdpbusd %%zmm12, %%zmm12, %%zmm3\n"
              "vpdpbusd %%zmm12, %%zmm12, %%zmm4\n vpdpbusd %%zmm12, %%zmm12, %%zmm5\n"
              "vpdpbusd %%zmm12, %%zmm12, %%zmm6\n vpdpbusd %%zmm12, %%zmm12, %%zmm7\n"
              "vpdpbusd %%zmm12, %%zmm12, %%zmm8\n vpdpbusd %%zmm12, %%zmm12, %%zmm9\n"
              "vpdpbusd %%zmm12, %%zmm12, %%zmm10\n vpdpbusd %%zmm12, %%zmm12, %%zmm11\n" ::
                  : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
                    "xmm10", "xmm11", "xmm12");
        }
      },
      5);
  return 12.0 * 64 * kTurns / seconds / 1e9;
}
#else
double int8_peak() { return 0; }
#endif

void bench(const cpu::KernelTable& table, DType dtype, int n_cols, double bandwidth, double peak,
           const std::vector<int>& counts) {
  // More than the caches hold where few activation rows make reading the limit.
  const size_t row = row_bytes(dtype, size_t(n_cols));
  const int n_rows = int((size_t{96} << 20) / row / 32 * 32);
  std::mt19937 rng(1);
  auto block = random_weights(rng, dtype, 64, n_cols);
  std::vector<uint8_t> w;
  while (w.size() < row * size_t(n_rows)) w.insert(w.end(), block.begin(), block.end());
  const int most = *std::max_element(counts.begin(), counts.end());
  const auto x = random_floats(rng, size_t(most) * size_t(n_cols));
  AlignedBytes xq_bytes(cpu::quantized_rows_bytes(most, n_cols)), scratch(cpu::kMatmulScratchBytes);
  const auto xq = cpu::quantized_rows_at(xq_bytes.data(), most, n_cols);
  table.quantize_rows(x.data(), size_t(n_cols), most, xq, 0);
  std::vector<float> y(size_t(most) * size_t(n_rows));
  fmt::print("{:11} {:6} {:5}", table.name, dtype_name(dtype), n_cols);
  for (const int n : counts) {
    cpu::MatmulArgs args;
    args.w_type = dtype;
    args.w = w.data();
    args.w_row_bytes = row;
    args.n_cols = n_cols;
    args.x = x.data();
    args.x_stride = size_t(n_cols);
    args.xq = &xq;
    args.n_x = n;
    args.y = y.data();
    args.y_stride = size_t(n_rows);
    args.scratch = scratch.data();
    // Shares of 64 rows, as threads take them.
    const int rows = std::min(n_rows, std::max(64, n_rows / n / 64 * 64));
    const double seconds = best_time(
        [&] {
          for (int begin = 0; begin < rows; begin += 64) {
            args.row_begin = begin;
            args.row_end = std::min(begin + 64, rows);
            table.matmul(args);
          }
        },
        5);
    const double gb_s = double(row) * rows / seconds / 1e9;
    const double gmac_s = double(n_cols) * rows * n / seconds / 1e9;
    if (n <= 2) {
      fmt::print(" | {:3}: {:5.1f} GB/s {:3.0f}%", n, gb_s, 100 * gb_s / bandwidth);
    } else {
      fmt::print(" | {:3}: {:4.0f} G {:3.0f}%", n, gmac_s, peak > 0 ? 100 * gmac_s / peak : 0.0);
    }
  }
  fmt::print("\n");
}

/// Attention of V2-Lite's 16 heads over cached rows: what a tile of 64 rows costs to pack, and
/// to meet the queries of some tokens.
void bench_attention(const cpu::KernelTable& table) {
  constexpr cpu::LatentDims kDims{512, 64};
  constexpr int kHeads = 16, kWidth = kDims.rank + kDims.rope, kTiles = 64;
  std::mt19937 rng(2);
  const auto floats = random_floats(rng, size_t{kTiles} * cpu::kLatentKeys * kWidth);
  std::vector<uint16_t> halves(floats.size());
  table.f32_to_f16(floats.data(), halves.data(), int(floats.size()));
  AlignedBytes keys_bytes(cpu::latent_keys_bytes(kDims, table.lanes));
  auto keys = cpu::latent_keys_at(keys_bytes.data(), kDims, table.lanes);
  const auto packing = [&](cpu::LatentRows type, const auto& rows) {
    const size_t tile = rows.size() / kTiles;
    return best_time(
               [&] {
                 for (size_t i = 0; i < kTiles; ++i)
                   table.pack_latent_keys(type, &rows[i * tile], cpu::kLatentKeys, keys);
               },
               20) /
           kTiles * 1e6;
  };
  const CacheRow row(CacheType::kQ8, kDims.rank, kDims.rope);
  std::vector<std::byte> integers(size_t{kTiles} * cpu::kLatentKeys * row.n_bytes());
  for (size_t i = 0; i < size_t{kTiles} * cpu::kLatentKeys; ++i)
    row.encode(&floats[i * kWidth], &integers[i * row.n_bytes()]);
  const double f16 = packing(cpu::LatentRows::kF16, halves);
  // Last, since what follows meets the rows that were packed last.
  const double q8 = packing(cpu::LatentRows::kIntegers, integers);
  fmt::print("{:11} attention | pack f16 {:5.2f} us, q8 {:5.2f} us", table.name, f16, q8);
  for (const int n_tokens : {1, 4}) {
    const int n_rows = n_tokens * kHeads;
    AlignedBytes queries_bytes(cpu::latent_queries_bytes(kDims, table.lanes, n_rows));
    const auto queries = cpu::latent_queries_at(queries_bytes.data(), kDims, table.lanes, n_rows);
    table.pack_latent_queries(floats.data(), kWidth, n_rows, 0.1f, queries);
    std::vector<float> m(size_t(n_rows), cpu::kLatentNoScore), l(size_t(n_rows), 0.0f),
        o(size_t(n_rows) * kDims.rank, 0.0f);
    const std::vector<int32_t> visible(size_t(n_rows), cpu::kLatentKeys);
    const double seconds = best_time(
        [&] {
          for (int i = 0; i < kTiles; ++i)
            table.attend_latent(queries, keys, cpu::kLatentKeys,
                                {n_rows, visible.data(), m.data(), l.data(), o.data()}, {});
        },
        20);
    const double products = double(kTiles) * cpu::kLatentKeys * n_rows * (kWidth + kDims.rank);
    fmt::print(" | {} tokens: {:6.2f} us {:4.0f} G", n_tokens, seconds / kTiles * 1e6,
               products / seconds / 1e9);
  }
  fmt::print("\n");
}

int run(int argc, char** argv) {
  std::vector<const cpu::KernelTable*> tables;
  for (int i = 1; i < argc; ++i) {
    const auto table = cpu::find_kernels(argv[i]);
    if (!table) {
      fmt::print(stderr, "{}\n", table.error().message);
      return exit_code(table.error().code);
    }
    tables.push_back(*table);
  }
  if (tables.empty()) tables.push_back(cpu::available_kernels().front());

  const std::vector<uint8_t> memory(size_t{512} << 20, 1);
  const double peak = int8_peak();
  fmt::print("one thread: read {:.1f} GB/s, int8 peak {:.0f} G multiply-adds/s\n",
             read_bandwidth(memory), peak);
  fmt::print(
      "columns: activation rows: GB/s of weights and % of the read bandwidth of that "
      "minute, or 1e9 multiply-adds/s and % of the peak\n");
  for (const cpu::KernelTable* table : tables) {
    bench_attention(*table);
    for (const auto& [dtype, n_cols] : {std::pair{DType::kQ4_K, 2048},
                                        {DType::kQ6_K, 2048},
                                        {DType::kQ5_0, 1408},
                                        {DType::kQ8_0, 1408},
                                        {DType::kQ5_K, 2048},
                                        {DType::kQ4_0, 2048},
                                        {DType::kQ2_K, 2048},
                                        {DType::kQ3_K, 2048},
                                        {DType::kIQ4_NL, 1408},
                                        {DType::kIQ4_XS, 2048},
                                        {DType::kF32, 2048},
                                        {DType::kBF16, 2048}})
      bench(*table, dtype, n_cols, read_bandwidth(memory), peak, {1, 2, 4, 6, 8, 16, 48, 512});
  }
  return 0;
}

}  // namespace
}  // namespace minke::test

int main(int argc, char** argv) { return minke::test::run(argc, argv); }
