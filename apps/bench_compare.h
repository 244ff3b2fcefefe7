// A saved run of `minke bench`, or of llama.cpp's llama-bench, to set beside this one.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "apps/bench_test.h"
#include "runtime/result.h"

namespace minke::apps {

/// What was measured, and the tokens a second that it gave.
struct SavedResult {
  BenchTest test;
  std::optional<int> n_threads;  ///< As far as the file says.
  std::string cache_type;        ///< As the file says; empty if it does not.
  double rate = 0;               ///< Tokens a second, the mean.
};

class SavedRun {
 public:
  /// A file of `-o json` or `-o jsonl`. Errors: kMissing, kIo, kContent.
  static Result<SavedRun> open(const std::filesystem::path& path);

  /// Of the same test with the same threads and type of the cache, as far as the file says; the
  /// last one counts.
  std::optional<double> rate_of(const BenchCase& bench_case) const;

 private:
  std::vector<SavedResult> results_;
};

}  // namespace minke::apps
