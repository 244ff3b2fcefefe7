#include "apps/bench_compare.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "convert/file_text.h"
#include "convert/json.h"
#include "runtime/input_file.h"

namespace minke::apps {
namespace {

using convert::JsonFields;

constexpr IntRange kCount = {0, 1 << 30};
constexpr NumberRange kRate = {1e-9, 1e12};

/// A lone object, or the objects of a list, or one a line.
Result<std::vector<nlohmann::json>> parse_rows(const std::string& text, const std::string& name) {
  std::vector<nlohmann::json> rows;
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first != std::string::npos && text[first] == '[') {
    MINKE_ASSIGN(nlohmann::json list, convert::parse_json(text, name));
    for (nlohmann::json& row : list) rows.push_back(std::move(row));
    return rows;
  }
  for (size_t begin = 0, line = 1; begin < text.size(); ++line) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view row = std::string_view(text).substr(begin, end - begin);
    begin = end + 1;
    if (row.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    MINKE_ASSIGN(nlohmann::json value,
                 convert::parse_json(row, fmt::format("{}: line {}", name, line)));
    rows.push_back(std::move(value));
  }
  return rows;
}

Result<SavedResult> read_result(const nlohmann::json& row, const std::string& name) {
  MINKE_ASSIGN(const JsonFields fields, JsonFields::of(row, name));
  const auto count = [&](const char* key, int64_t fallback) {
    return fields.get_int_or(key, fallback, kCount);
  };
  SavedResult result;
  MINKE_ASSIGN(const int64_t n_prompt, fields.get_int("n_prompt", kCount));
  MINKE_ASSIGN(const int64_t n_gen, fields.get_int("n_gen", kCount));
  MINKE_ASSIGN(const int64_t n_depth, count("n_depth", 0));
  MINKE_ASSIGN(const int64_t n_sequences, count("n_sequences", 1));
  MINKE_ASSIGN(result.rate, fields.get_number("avg_ts", kRate));
  result.test = {static_cast<int>(n_prompt), static_cast<int>(n_gen), static_cast<int>(n_depth),
                 static_cast<int>(n_sequences)};
  if (fields.has("n_threads")) {
    MINKE_ASSIGN(const int64_t n_threads, fields.get_int("n_threads", kCount));
    result.n_threads = static_cast<int>(n_threads);
  }
  MINKE_ASSIGN(result.cache_type, fields.get_string_or("type_k", ""));
  return result;
}

}  // namespace

Result<SavedRun> SavedRun::open(const std::filesystem::path& path) {
  constexpr size_t kMaxBytes = size_t{64} << 20;
  MINKE_ASSIGN(const std::string text, convert::read_text(path, kMaxBytes));
  const std::string name = printable_path(path);
  MINKE_ASSIGN(const std::vector<nlohmann::json> rows, parse_rows(text, name));
  if (rows.empty()) return fail(Errc::kContent, "{}: no results in it", name);
  SavedRun run;
  for (const nlohmann::json& row : rows) {
    MINKE_ASSIGN(SavedResult result, read_result(row, name));
    run.results_.push_back(std::move(result));
  }
  return run;
}

std::optional<double> SavedRun::rate_of(const BenchCase& bench_case) const {
  const auto found = std::find_if(results_.rbegin(), results_.rend(), [&](const SavedResult& r) {
    return r.test == bench_case.test &&
           r.n_threads.value_or(bench_case.n_threads) == bench_case.n_threads &&
           (r.cache_type.empty() || find_cache_type(r.cache_type) == bench_case.cache_type);
  });
  if (found == results_.rend()) return std::nullopt;
  return found->rate;
}

}  // namespace minke::apps
