// What `minke bench` measures: one way to run the model, and tokens read and generated.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "apps/model_options.h"

namespace minke::apps {

/// Tokens read, then generated one by one, behind a cache that holds n_depth already; for each of
/// some sequences, which read one after the other and generate side by side.
struct BenchTest {
  int n_prompt = 0, n_gen = 0, n_depth = 0, n_sequences = 1;

  /// "pp512", "tg128", "pp512+tg128", "tg32 @ d4096", "tg32 x 4"
  std::string name() const;
  /// Of all sequences.
  int n_tokens() const noexcept { return n_sequences * (n_prompt + n_gen); }
  /// Of one sequence, at the end.
  int n_ctx() const noexcept { return n_depth + n_prompt + n_gen; }
  bool operator==(const BenchTest&) const = default;
};

/// A test, and how the model is run for it.
struct BenchCase {
  int n_threads = 0;  ///< 0: one a core.
  int n_batch = 512;
  CacheType cache_type = kDefaultCacheType;
  BenchTest test;
};

/// Lists of what the command line named; the cases are their cross product.
struct BenchPlan {
  std::vector<int> n_prompts = {512}, n_gens = {128};
  std::vector<BenchTest> pairs;  ///< -pg
  std::vector<int> n_depths = {0}, n_sequences = {1};
  std::vector<int> n_batches = {512}, n_ubatches = {0}, n_threads = {0};
  std::vector<CacheType> cache_types = {kDefaultCacheType};

  /// A prompt or generation of 0 tokens is no case.
  std::vector<BenchCase> cases() const;
};

}  // namespace minke::apps
