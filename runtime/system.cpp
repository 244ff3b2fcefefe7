#include "runtime/system.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <latch>
#include <limits>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace minke {
namespace {

/// MemAvailable of /proc/meminfo; where that is missing, the pages that are free.
uint64_t system_memory() {
  std::ifstream file("/proc/meminfo");
  for (std::string key; file >> key;) {
    uint64_t kilobytes = 0;
    if (key == "MemAvailable:" && file >> kilobytes) return kilobytes * 1024;
    file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  return static_cast<uint64_t>(sysconf(_SC_AVPHYS_PAGES)) *
         static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

/// The control group's limit; "max" does not parse as a number and means none.
uint64_t group_memory() {
  std::ifstream file("/sys/fs/cgroup/memory.max");
  uint64_t bytes = 0;
  return file >> bytes ? bytes : std::numeric_limits<uint64_t>::max();
}

/// Processors that a quota amounts to, rounded up.
int group_processors() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  double quota = 0, period = 0;
  if (!(file >> quota >> period) || period <= 0) return std::numeric_limits<int>::max();
  return std::max(1, static_cast<int>(std::ceil(quota / period)));
}

}  // namespace

uint64_t available_memory_bytes() { return std::min(system_memory(), group_memory()); }

int usable_processors() {
  cpu_set_t set;
  // Fails on machines with more processors than a cpu_set_t holds.
  const int allowed = sched_getaffinity(0, sizeof(set), &set) == 0
                          ? CPU_COUNT(&set)
                          : static_cast<int>(std::thread::hardware_concurrency());
  return std::max(1, std::min(allowed, group_processors()));
}

Status check_threads(int n) {
  std::vector<std::thread> threads;
  std::latch all_started(1);
  Status status;
  try {
    while (static_cast<int>(threads.size()) < n)
      threads.emplace_back([&all_started] { all_started.wait(); });
  } catch (const std::system_error& error) {
    status =
        fail(Errc::kMemory, "cannot start thread {} of {}: {} (use fewer, -t, or see ulimit -a)",
             threads.size() + 2, n + 1, error.code().message());
  }
  all_started.count_down();
  for (std::thread& thread : threads) thread.join();
  return status;
}

}  // namespace minke
