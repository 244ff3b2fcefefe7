#include "runtime/system.h"

#include <unistd.h>

#include <algorithm>
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

}  // namespace

uint64_t available_memory_bytes() { return std::min(system_memory(), group_memory()); }

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
