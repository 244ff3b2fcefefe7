// Places temporaries in one arena so that values which are never alive together share memory.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace minke {

/// A value's life in steps of execution, both ends included, and its size.
struct Lifetime {
  int first = 0, last = 0;
  size_t bytes = 0;
};

struct MemoryPlan {
  std::vector<size_t> offsets;  ///< One a lifetime; multiples of 64.
  size_t arena_bytes = 0;
};

/// Greedy by size: the largest value first, at the lowest offset where nothing alive lies.
MemoryPlan plan_memory(std::span<const Lifetime> lifetimes);

}  // namespace minke
