#include "runtime/memory_plan.h"

#include <algorithm>
#include <numeric>

namespace minke {
namespace {

constexpr size_t kAlignment = 64;

size_t aligned(size_t bytes) noexcept { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

MemoryPlan plan_memory(std::span<const Lifetime> lifetimes) {
  std::vector<size_t> order(lifetimes.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, std::greater{}, [&](size_t i) { return lifetimes[i].bytes; });

  MemoryPlan plan{std::vector<size_t>(lifetimes.size()), 0};
  std::vector<size_t> placed;  // by offset
  for (const size_t i : order) {
    const Lifetime& life = lifetimes[i];
    size_t offset = 0;
    for (const size_t p : placed) {
      const bool together = lifetimes[p].first <= life.last && life.first <= lifetimes[p].last;
      if (!together) continue;
      if (offset + aligned(life.bytes) <= plan.offsets[p]) break;
      offset = std::max(offset, plan.offsets[p] + aligned(lifetimes[p].bytes));
    }
    plan.offsets[i] = offset;
    plan.arena_bytes = std::max(plan.arena_bytes, offset + aligned(life.bytes));
    const auto at =
        std::ranges::upper_bound(placed, offset, {}, [&](size_t p) { return plan.offsets[p]; });
    placed.insert(at, i);
  }
  return plan;
}

}  // namespace minke
