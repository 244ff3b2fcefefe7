// The results of `minke bench` as a table for people or for programs.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "apps/bench_limits.h"

namespace minke::apps {

enum class BenchFormat { kMarkdown, kCsv, kJson, kJsonLines };

struct BenchRow {
  std::string model;  ///< The name that the file gives itself.
  std::string file;
  uint64_t size_bytes = 0, n_params = 0;
  std::string backend;
  BenchCase bench_case;
  std::vector<double> seconds;  ///< Of each repetition.

  struct Limits {
    MachineLimits machine;
    TestCost cost;
  };
  std::optional<Limits> limits;
  std::optional<double> saved_rate;  ///< Tokens a second of the run it is compared with.

  /// Tokens a second: mean and standard deviation (of the sample) over the repetitions.
  double mean_rate() const;
  double rate_deviation() const;
  /// Parts of the machine's limits that the mean of the repetitions reached.
  double of_bandwidth() const;
  double of_int8() const;
  /// Times the saved run's rate, where there is one.
  double of_saved() const { return mean_rate() / *saved_rate; }
};

/// Columns of a markdown table that not every table needs; csv and json always tell all.
struct BenchColumns {
  bool batch = false, cache = false;  ///< Some case has another than the default.
  bool limits = false;
  bool saved = false;  ///< A saved run stands beside this one.
};
BenchColumns columns_for(std::span<const BenchCase> cases, bool limits);

/// The whole output; markdown and csv begin with a header.
std::string format_rows(std::span<const BenchRow> rows, BenchFormat format,
                        const BenchColumns& columns);
/// What stands before the first row and behind the last one, and a row: so that rows can be shown
/// as they come. Markdown tells the machine's limits behind the table.
std::string format_header(BenchFormat format, const BenchColumns& columns);
std::string format_row(const BenchRow& row, BenchFormat format, const BenchColumns& columns,
                       bool is_first);
std::string format_footer(std::span<const BenchRow> rows, BenchFormat format);

}  // namespace minke::apps
