#include "apps/bench_limits.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstring>
#include <functional>
#include <thread>
#include <vector>

#include "backends/cpu/peak.h"

namespace minke::apps {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kReadBytes = size_t{1} << 30;
constexpr size_t kGrain = 4096;
constexpr int kPasses = 6;

/// Wall time of work(thread) on n threads that start together.
double time_threads(int n_threads, const std::function<void(int)>& work) {
  std::atomic<int> ready{0};
  std::atomic<bool> go{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < n_threads; ++i) {
    threads.emplace_back([&, i] {
      ready.fetch_add(1);
      while (!go.load()) std::this_thread::yield();
      work(i);
    });
  }
  while (ready.load() < n_threads) std::this_thread::yield();
  const Clock::time_point start = Clock::now();
  go.store(true);
  for (std::thread& thread : threads) thread.join();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Where thread i of n begins in the memory.
size_t begin_of(int i, int n) {
  return kReadBytes / kGrain * static_cast<size_t>(i) / static_cast<size_t>(n) * kGrain;
}

}  // namespace

Result<std::unique_ptr<LimitMeter>> LimitMeter::create(std::string isa) {
  void* memory =
      mmap(nullptr, kReadBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    return fail(Errc::kMemory, "no memory for the read test of {} bytes", kReadBytes);
  madvise(memory, kReadBytes, MADV_HUGEPAGE);
  // Written, so that every page is there and is not the kernel's one page of zeros.
  std::memset(memory, 0x5A, kReadBytes);
  return std::unique_ptr<LimitMeter>(
      new LimitMeter(std::move(isa), static_cast<std::byte*>(memory)));
}

LimitMeter::~LimitMeter() { munmap(memory_, kReadBytes); }

double LimitMeter::read_seconds(int n_threads) const {
  std::atomic<uint64_t> sink{0};
  return time_threads(n_threads, [&](int i) {
    const size_t begin = begin_of(i, n_threads), end = begin_of(i + 1, n_threads);
    sink.fetch_xor(cpu::read_once(isa_, memory_ + begin, end - begin));
  });
}

double LimitMeter::int8_ops_per_second(int n_threads) const {
  constexpr uint64_t kRounds = 1'500'000;  // about 10 ms with vpdpbusd
  const cpu::PeakLoop loop = cpu::peak_loop(isa_);
  std::atomic<uint32_t> sink{0};
  const double seconds = time_threads(n_threads, [&](int) { sink.fetch_xor(loop.run(kRounds)); });
  return 2.0 * static_cast<double>(loop.multiply_adds * kRounds) * n_threads / seconds;
}

MachineLimits LimitMeter::measure(int n_threads) const {
  MachineLimits limits{.instruction = std::string(cpu::peak_loop(isa_).instruction)};
  for (int i = 0; i < kPasses; ++i) {
    limits.bytes_per_second = std::max(limits.bytes_per_second,
                                       static_cast<double>(kReadBytes) / read_seconds(n_threads));
    limits.int8_ops_per_second =
        std::max(limits.int8_ops_per_second, int8_ops_per_second(n_threads));
  }
  return limits;
}

}  // namespace minke::apps
