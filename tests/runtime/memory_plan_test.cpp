#include "runtime/memory_plan.h"

#include <doctest/doctest.h>

#include <random>

using namespace minke;

TEST_CASE("values that are never alive together share memory") {
  const std::vector<Lifetime> lives = {{0, 1, 100}, {1, 2, 100}, {2, 3, 100}};
  const MemoryPlan plan = plan_memory(lives);
  CHECK(plan.arena_bytes == 256);
  CHECK(plan.offsets[0] == plan.offsets[2]);
  CHECK(plan.offsets[0] != plan.offsets[1]);
}

TEST_CASE("random lives never overlap in time and place") {
  std::mt19937 random(3);
  std::vector<Lifetime> lives;
  size_t total = 0;
  for (int i = 0; i < 200; ++i) {
    const int first = static_cast<int>(random() % 50);
    lives.push_back({first, first + static_cast<int>(random() % 6), random() % 5000});
    total += lives.back().bytes + 63;
  }
  const MemoryPlan plan = plan_memory(lives);
  CHECK(plan.arena_bytes < total / 2);
  for (size_t a = 0; a < lives.size(); ++a) {
    CHECK(plan.offsets[a] % 64 == 0);
    CHECK(plan.offsets[a] + lives[a].bytes <= plan.arena_bytes);
    for (size_t b = 0; b < a; ++b) {
      const bool in_time = lives[a].first <= lives[b].last && lives[b].first <= lives[a].last;
      const bool in_place = plan.offsets[a] < plan.offsets[b] + lives[b].bytes &&
                            plan.offsets[b] < plan.offsets[a] + lives[a].bytes;
      const bool both_real = lives[a].bytes != 0 && lives[b].bytes != 0;
      CHECK_FALSE((in_time && in_place && both_real));
    }
  }
}
