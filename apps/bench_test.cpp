#include "apps/bench_test.h"

#include <algorithm>

namespace minke::apps {

std::string BenchTest::name() const {
  std::string text;
  if (n_prompt > 0) text = fmt::format("pp{}", n_prompt);
  if (n_gen > 0) text += fmt::format("{}tg{}", text.empty() ? "" : "+", n_gen);
  if (n_sequences > 1) text += fmt::format(" x {}", n_sequences);
  if (n_depth > 0) text += fmt::format(" @ d{}", n_depth);
  return text;
}

std::vector<BenchCase> BenchPlan::cases() const {
  std::vector<BenchTest> tests;
  for (const int n : n_prompts)
    if (n > 0) tests.push_back({n, 0, 0});
  for (const int n : n_gens)
    if (n > 0) tests.push_back({0, n, 0});
  tests.insert(tests.end(), pairs.begin(), pairs.end());

  std::vector<BenchCase> all;
  for (const CacheType type : cache_types)
    for (const int batch : n_batches)
      for (const int ubatch : n_ubatches)
        for (const int threads : n_threads)
          for (const int sequences : n_sequences)
            for (const int depth : n_depths)
              for (BenchTest test : tests) {
                test.n_depth = depth;
                test.n_sequences = sequences;
                all.push_back({threads, ubatch > 0 ? std::min(batch, ubatch) : batch, type, test});
              }
  return all;
}

}  // namespace minke::apps
