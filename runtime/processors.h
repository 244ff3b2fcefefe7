// How many threads are worth having on this machine, or in the container that this process runs in.
#pragma once

#include <filesystem>
#include <span>
#include <vector>

namespace minke {

/// Where Linux tells of processors and control groups. Tests give directories of their own.
struct SystemFiles {
  std::filesystem::path proc = "/proc";
  std::filesystem::path sys = "/sys";
};

/// Logical processors that this process may run on, by their numbers, in order; empty where the
/// system does not tell.
std::vector<int> allowed_processors();

/// Cores that these logical processors belong to: two that share one compete for its multipliers.
/// One whose core is not told counts as a core. Slow cores of a hybrid processor count too, since
/// workers claim their tasks one by one.
int count_cores(const SystemFiles& files, std::span<const int> processors);

/// Processors' worth of time that the control groups of this process allow, of version 1 or 2, its
/// own and those above it; infinity without a quota.
double processor_quota(const SystemFiles& files);

/// Cores this process may use, or less where a quota is lower; a part of one counts as one. At
/// least 1.
int usable_cores();

}  // namespace minke
