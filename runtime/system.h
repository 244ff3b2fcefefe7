// What the machine, or the container that this process runs in, has to offer.
#pragma once

#include <cstdint>

namespace minke {

/// Memory that can be had without swapping, page cache included: MemAvailable, or less where a
/// control group's limit is lower.
uint64_t available_memory_bytes();

/// Processors this process may use: its affinity, or less where a control group's quota is lower.
/// At least 1.
int usable_processors();

}  // namespace minke
