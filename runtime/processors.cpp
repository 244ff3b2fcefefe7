#include "runtime/processors.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <thread>

namespace minke {
namespace {

namespace fs = std::filesystem;

constexpr double kNoQuota = std::numeric_limits<double>::infinity();

/// The first line, empty if there is none.
std::string first_line(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

/// cpu.max of version 2: "QUOTA PERIOD" in microseconds, or "max PERIOD", which is no number.
double quota_of_v2(const fs::path& group) {
  std::ifstream file(group / "cpu.max");
  double quota = 0, period = 0;
  if (!(file >> quota >> period) || quota <= 0 || period <= 0) return kNoQuota;
  return quota / period;
}

/// Version 1: two files; a quota of -1 is none.
double quota_of_v1(const fs::path& group) {
  std::ifstream quota_file(group / "cpu.cfs_quota_us"), period_file(group / "cpu.cfs_period_us");
  double quota = 0, period = 0;
  if (!(quota_file >> quota) || !(period_file >> period) || quota <= 0 || period <= 0)
    return kNoQuota;
  return quota / period;
}

/// The lowest quota of `group`, an absolute path inside a hierarchy, and of all groups above it.
/// Where a container sees its own group as the root, the directories of the others are missing.
double lowest_quota(const fs::path& root, const fs::path& group,
                    double (*quota_of)(const fs::path&)) {
  double lowest = quota_of(root);
  fs::path at = root;
  for (const fs::path& name : group.relative_path()) {
    if (name == "..") break;  // Outside of what this process can see.
    at /= name;
    lowest = std::min(lowest, quota_of(at));
  }
  return lowest;
}

bool names_cpu(std::string_view controllers) {
  while (!controllers.empty()) {
    const size_t end = std::min(controllers.find(','), controllers.size());
    if (controllers.substr(0, end) == "cpu") return true;
    controllers.remove_prefix(std::min(end + 1, controllers.size()));
  }
  return false;
}

}  // namespace

std::vector<int> allowed_processors() {
  // The call fails while the set is smaller than the kernel's.
  for (int n = 1024; n <= (1 << 20); n *= 2) {
    const std::unique_ptr<cpu_set_t, void (*)(cpu_set_t*)> set(CPU_ALLOC(static_cast<size_t>(n)),
                                                               [](cpu_set_t* s) { CPU_FREE(s); });
    const size_t bytes = CPU_ALLOC_SIZE(static_cast<size_t>(n));
    if (set == nullptr || sched_getaffinity(0, bytes, set.get()) != 0) continue;
    std::vector<int> processors;
    for (int i = 0; i < n; ++i)
      if (CPU_ISSET_S(static_cast<size_t>(i), bytes, set.get())) processors.push_back(i);
    return processors;
  }
  return {};
}

int count_cores(const SystemFiles& files, std::span<const int> processors) {
  std::set<std::string> cores;
  int n_untold = 0;
  for (const int processor : processors) {
    const fs::path topology =
        files.sys / "devices/system/cpu" / ("cpu" + std::to_string(processor)) / "topology";
    // The same list of siblings for all that share a core; the second is its older name.
    std::string core = first_line(topology / "core_cpus_list");
    if (core.empty()) core = first_line(topology / "thread_siblings_list");
    if (core.empty())
      ++n_untold;
    else
      cores.insert(std::move(core));
  }
  return static_cast<int>(cores.size()) + n_untold;
}

double processor_quota(const SystemFiles& files) {
  // Lines "ID:CONTROLLERS:PATH"; version 2 has the ID 0 and no controllers.
  std::ifstream groups(files.proc / "self/cgroup");
  const fs::path root = files.sys / "fs/cgroup";
  double lowest = std::min(quota_of_v2(root), quota_of_v1(root / "cpu"));
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string group = line.substr(second + 1);
    if (controllers.empty())
      lowest = std::min(lowest, lowest_quota(root, group, quota_of_v2));
    else if (names_cpu(controllers))
      for (const std::string& mounted : {std::string("cpu"), controllers})
        lowest = std::min(lowest, lowest_quota(root / mounted, group, quota_of_v1));
  }
  return lowest;
}

int usable_cores() {
  const SystemFiles files;
  const std::vector<int> allowed = allowed_processors();
  const int cores = allowed.empty() ? static_cast<int>(std::thread::hardware_concurrency())
                                    : count_cores(files, allowed);
  return std::max(1, static_cast<int>(std::min<double>(cores, std::ceil(processor_quota(files)))));
}

}  // namespace minke
