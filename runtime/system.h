// What the machine, or the container that this process runs in, has to offer.
#pragma once

#include <cstdint>

#include "runtime/result.h"

namespace minke {

/// Memory that can be had without swapping, page cache included: MemAvailable, or less where a
/// control group's limit is lower.
uint64_t available_memory_bytes();

/// Whether n threads beside this one can exist at a time, by starting and ending them: OpenMP ends
/// the process where they cannot. Errors: kMemory, with the system's reason.
Status check_threads(int n);

}  // namespace minke
