#include "apps/bench_report.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

namespace minke::apps {
namespace {

using nlohmann::ordered_json;

double mean(const std::vector<double>& values) {
  return values.empty() ? 0
                        : std::accumulate(values.begin(), values.end(), 0.0) /
                              static_cast<double>(values.size());
}

std::vector<double> rates(const BenchRow& row) {
  std::vector<double> all;
  for (const double s : row.seconds) all.push_back(row.bench_case.test.n_tokens() / s);
  return all;
}

std::string human_size(uint64_t bytes) {
  const double gib = static_cast<double>(bytes) / (1 << 30);
  return gib >= 1 ? fmt::format("{:.2f} GiB", gib) : fmt::format("{:.2f} MiB", gib * 1024);
}

std::string human_count(uint64_t n) {
  const auto value = static_cast<double>(n);
  return value >= 1e9 ? fmt::format("{:.2f} B", value / 1e9) : fmt::format("{:.2f} M", value / 1e6);
}

std::string cache_name(const BenchRow& row) {
  return std::string(cache_type_name(row.bench_case.cache_type));
}

/// A model's name must not break the table.
std::string cell(std::string text) {
  for (char& c : text)
    if (c == '|') c = '/';
  return text;
}

std::string csv_text(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + '"';
}

/// `saved`: with the run that it is compared with, null where that has no such test.
ordered_json to_json(const BenchRow& row, bool saved) {
  const BenchCase& c = row.bench_case;
  ordered_json json = {{"model", row.model},
                       {"model_filename", row.file},
                       {"model_size", row.size_bytes},
                       {"model_n_params", row.n_params},
                       {"backend", row.backend},
                       {"n_threads", c.n_threads},
                       {"n_batch", c.n_batch},
                       {"type_k", cache_name(row)},
                       {"test", c.test.name()},
                       {"n_prompt", c.test.n_prompt},
                       {"n_gen", c.test.n_gen},
                       {"n_depth", c.test.n_depth},
                       {"n_sequences", c.test.n_sequences},
                       {"avg_ts", row.mean_rate()},
                       {"stddev_ts", row.rate_deviation()}};
  if (saved) {
    json["saved_ts"] = nullptr;
    json["of_saved"] = nullptr;
  }
  if (saved && row.saved_rate) {
    json["saved_ts"] = *row.saved_rate;
    json["of_saved"] = row.of_saved();
  }
  if (row.limits) {
    json["limits"] = {{"bytes_per_second", row.limits->machine.bytes_per_second},
                      {"int8_ops_per_second", row.limits->machine.int8_ops_per_second},
                      {"int8_instruction", row.limits->machine.instruction},
                      {"test_bytes", row.limits->cost.bytes},
                      {"test_int8_ops", row.limits->cost.int8_ops},
                      {"of_bandwidth", row.of_bandwidth()},
                      {"of_int8", row.of_int8()}};
  }
  return json;
}

/// With all repetitions, which csv leaves out.
ordered_json to_full_json(const BenchRow& row, bool saved) {
  ordered_json json = to_json(row, saved);
  json["samples_s"] = row.seconds;
  json["samples_ts"] = rates(row);
  return json;
}

std::string markdown_header(const BenchColumns& columns) {
  const auto optional = [](bool wanted, const char* text) { return wanted ? text : ""; };
  return fmt::format("| model | size | params | backend | threads |{}{} test | t/s |{}{}\n",
                     optional(columns.batch, " batch |"), optional(columns.cache, " cache |"),
                     optional(columns.saved, " saved t/s | of saved |"),
                     optional(columns.limits, " of read bandwidth | of int8 peak |")) +
         fmt::format("|---|--:|--:|---|--:|{}{}--:|--:|{}{}\n", optional(columns.batch, "--:|"),
                     optional(columns.cache, "---|"), optional(columns.saved, "--:|--:|"),
                     optional(columns.limits, "--:|--:|"));
}

std::string markdown_row(const BenchRow& row, const BenchColumns& columns) {
  const BenchCase& c = row.bench_case;
  std::string text =
      fmt::format("| {} | {} | {} | {} | {} |", cell(row.model), human_size(row.size_bytes),
                  human_count(row.n_params), row.backend, c.n_threads);
  if (columns.batch) text += fmt::format(" {} |", c.n_batch);
  if (columns.cache) text += fmt::format(" {} |", cache_name(row));
  text +=
      fmt::format(" {} | {:.2f} ± {:.2f} |", c.test.name(), row.mean_rate(), row.rate_deviation());
  if (columns.saved) {
    text += row.saved_rate ? fmt::format(" {:.2f} | {:.2f}x |", *row.saved_rate, row.of_saved())
                           : " - | - |";
  }
  if (row.limits) {
    const double seconds = mean(row.seconds);
    text += fmt::format(" {:.1f} GB/s = {:.0f} % | {:.3f} TOPS = {:.0f} % |",
                        row.limits->cost.bytes / seconds / 1e9, 100 * row.of_bandwidth(),
                        row.limits->cost.int8_ops / seconds / 1e12, 100 * row.of_int8());
  }
  return text + "\n";
}

std::string csv_row(const ordered_json& json) {
  std::string text;
  for (const auto& [name, value] : json.items()) {
    if (value.is_object()) {
      text += "," + csv_row(value);
      continue;
    }
    text += (text.empty() ? "" : ",") +
            (value.is_string() ? csv_text(value.get<std::string>()) : value.dump());
  }
  return text;
}

std::string csv_names(const ordered_json& json) {
  std::string text;
  for (const auto& [name, value] : json.items())
    text += (text.empty() ? "" : ",") + (value.is_object() ? csv_names(value) : name);
  return text;
}

}  // namespace

double BenchRow::mean_rate() const { return mean(rates(*this)); }

double BenchRow::rate_deviation() const {
  const std::vector<double> all = rates(*this);
  if (all.size() < 2) return 0;
  const double average = mean(all);
  double squares = 0;
  for (const double x : all) squares += (x - average) * (x - average);
  return std::sqrt(squares / static_cast<double>(all.size() - 1));
}

double BenchRow::of_bandwidth() const {
  return limits->cost.bytes / mean(seconds) / limits->machine.bytes_per_second;
}

double BenchRow::of_int8() const {
  return limits->cost.int8_ops / mean(seconds) / limits->machine.int8_ops_per_second;
}

BenchColumns columns_for(std::span<const BenchCase> cases, bool limits) {
  BenchColumns columns{.limits = limits};
  for (const BenchCase& c : cases) {
    columns.batch |= c.n_batch != BenchCase{}.n_batch;
    columns.cache |= c.cache_type != BenchCase{}.cache_type;
  }
  return columns;
}

std::string format_header(BenchFormat format, const BenchColumns& columns) {
  if (format == BenchFormat::kJson) return "[\n";
  if (format == BenchFormat::kJsonLines) return "";
  if (format == BenchFormat::kMarkdown) return markdown_header(columns);
  BenchRow row;
  row.seconds = {1};
  if (columns.limits) row.limits.emplace();
  return csv_names(to_json(row, columns.saved)) + "\n";
}

std::string format_row(const BenchRow& row, BenchFormat format, const BenchColumns& columns,
                       bool is_first) {
  switch (format) {
    case BenchFormat::kMarkdown:
      return markdown_row(row, columns);
    case BenchFormat::kCsv:
      return csv_row(to_json(row, columns.saved)) + "\n";
    case BenchFormat::kJson:
      return (is_first ? "" : ",\n") + to_full_json(row, columns.saved).dump(2);
    case BenchFormat::kJsonLines:
      return to_full_json(row, columns.saved).dump() + "\n";
  }
  return "";
}

std::string format_footer(std::span<const BenchRow> rows, BenchFormat format) {
  if (format == BenchFormat::kJson) return "\n]\n";
  if (format != BenchFormat::kMarkdown || rows.empty() || !rows.front().limits) return "";
  std::string text = "\nMeasured beside each test, all threads:\n";
  for (const BenchRow& row : rows) {
    const MachineLimits& machine = row.limits->machine;
    text += fmt::format("- {}: {:.1f} GB/s read, {:.2f} TOPS ({})\n", row.bench_case.test.name(),
                        machine.bytes_per_second / 1e9, machine.int8_ops_per_second / 1e12,
                        machine.instruction);
  }
  return text;
}

std::string format_rows(std::span<const BenchRow> rows, BenchFormat format,
                        const BenchColumns& columns) {
  std::string text = format_header(format, columns);
  for (size_t i = 0; i < rows.size(); ++i) text += format_row(rows[i], format, columns, i == 0);
  return text + format_footer(rows, format);
}

}  // namespace minke::apps
