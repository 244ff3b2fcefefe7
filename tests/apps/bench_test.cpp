#include "apps/bench_test.h"

#include <doctest/doctest.h>

#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "apps/bench_compare.h"
#include "apps/bench_limits.h"
#include "apps/bench_report.h"
#include "backends/cpu/isa.h"
#include "backends/cpu/peak.h"
#include "tests/apps/app_model.h"
#include "tests/apps/run_minke.h"

using namespace minke;
using namespace minke::apps;
using Json = nlohmann::json;

namespace {

BenchRow example(bool limits) {
  BenchRow row;
  row.model = "a | \"b\", c";
  row.file = "m.gguf";
  row.size_bytes = 1 << 30;
  row.n_params = 2'000'000'000;
  row.backend = "cpu:avx2";
  row.bench_case = {.n_threads = 2, .n_batch = 64, .test = {.n_prompt = 100, .n_depth = 10}};
  row.seconds = {0.5, 1.0, 2.0};  // 200, 100, 50 tokens a second
  if (limits)
    row.limits = {{.bytes_per_second = 1e10, .int8_ops_per_second = 1e12, .instruction = "x"},
                  {.bytes = 3.5e9, .int8_ops = 1.75e11}};
  return row;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

/// Fields of a CSV line, RFC 4180.
std::vector<std::string> csv_fields(const std::string& line) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  for (const char c : line) {
    if (c == '"') quoted = !quoted;
    if (c == ',' && !quoted)
      fields.emplace_back();
    else
      fields.back() += c;
  }
  return fields;
}

}  // namespace

TEST_CASE("bench: tests are named as in other tools") {
  CHECK(BenchTest{512, 0, 0}.name() == "pp512");
  CHECK(BenchTest{0, 128, 0}.name() == "tg128");
  CHECK(BenchTest{512, 128, 0}.name() == "pp512+tg128");
  CHECK(BenchTest{0, 32, 4096}.name() == "tg32 @ d4096");
  CHECK(BenchTest{0, 32, 4096, 8}.name() == "tg32 x 8 @ d4096");
}

TEST_CASE("bench: lists give the cross product") {
  BenchPlan plan;
  CHECK(plan.cases().size() == 2);
  plan.n_prompts = {8, 16};
  plan.n_gens = {0};
  plan.pairs = {{4, 2, 0}};
  plan.n_depths = {0, 32};
  plan.n_threads = {1, 2};
  plan.cache_types = {CacheType::kF16, CacheType::kQ8_0};
  plan.n_sequences = {1, 4};
  CHECK(plan.cases().size() == 3 * 2 * 2 * 2 * 2);
  plan = {};
  plan.n_batches = {256};
  plan.n_ubatches = {64, 1024};
  CHECK(plan.cases().front().n_batch == 64);
  CHECK(plan.cases().back().n_batch == 256);
}

TEST_CASE("bench: mean, deviation and parts of the limits") {
  const BenchRow row = example(true);
  CHECK(row.mean_rate() == doctest::Approx(350.0 / 3));
  CHECK(row.rate_deviation() == doctest::Approx(76.3763));
  CHECK(row.of_bandwidth() == doctest::Approx(0.3));
  CHECK(row.of_int8() == doctest::Approx(0.15));
}

TEST_CASE("bench: the table has the columns that users know, and others where they differ") {
  const auto header = [](const BenchCase& c) {
    return lines_of(format_rows({}, BenchFormat::kMarkdown, columns_for({&c, 1}, false))).at(0);
  };
  BenchCase c;
  CHECK(header(c) == "| model | size | params | backend | threads | test | t/s |");
  c.n_batch = 64;
  CHECK(header(c) == "| model | size | params | backend | threads | batch | test | t/s |");
  c.cache_type = CacheType::kQ8_0;
  CHECK(header(c) == "| model | size | params | backend | threads | batch | cache | test | t/s |");
}

TEST_CASE("bench: json, jsonl, csv and markdown say the same") {
  const std::vector<BenchRow> rows = {example(true), example(true)};
  const auto formatted = [&rows](BenchFormat format) {
    return format_rows(rows, format, columns_for({&rows[0].bench_case, 1}, true));
  };
  const Json json = Json::parse(formatted(BenchFormat::kJson));
  REQUIRE(json.size() == 2);
  CHECK(json[0]["test"] == "pp100 @ d10");
  CHECK(json[0]["samples_ts"] == Json::parse("[200.0, 100.0, 50.0]"));
  CHECK(json[0]["limits"]["of_bandwidth"].get<double>() == doctest::Approx(0.3));

  const auto json_lines = lines_of(formatted(BenchFormat::kJsonLines));
  REQUIRE(json_lines.size() == 2);
  CHECK(Json::parse(json_lines[1]) == json[1]);

  const auto csv = lines_of(formatted(BenchFormat::kCsv));
  REQUIRE(csv.size() == 3);
  const auto names = csv_fields(csv[0]), values = csv_fields(csv[1]);
  REQUIRE(names.size() == values.size());
  CHECK(names[0] == "model");
  CHECK(values[0] == "\"a | \"\"b\"\", c\"");

  const auto markdown = lines_of(formatted(BenchFormat::kMarkdown));
  REQUIRE(markdown.size() >= 4);
  const auto bars = [](const std::string& line) {
    return std::count(line.begin(), line.end(), '|');
  };
  CHECK(bars(markdown[1]) == bars(markdown[0]));
  CHECK(bars(markdown[2]) == bars(markdown[0]));
  CHECK(markdown[2].find("116.67 ± 76.38") != std::string::npos);
}

TEST_CASE("bench: a saved run stands beside the results, where it has the same test") {
  std::vector<BenchRow> rows = {example(false), example(false)};
  rows[0].saved_rate = 50.0;
  const BenchColumns columns{.saved = true};
  const auto markdown = lines_of(format_rows(rows, BenchFormat::kMarkdown, columns));
  CHECK(markdown[0].ends_with("| t/s | saved t/s | of saved |"));
  CHECK(markdown[2].ends_with("| 50.00 | 2.33x |"));
  CHECK(markdown[3].ends_with("| - | - |"));
  const Json json = Json::parse(format_rows(rows, BenchFormat::kJson, columns));
  CHECK(json[0]["of_saved"].get<double>() == doctest::Approx(7.0 / 3));
  CHECK(json[1]["of_saved"].is_null());
  const auto csv = lines_of(format_rows(rows, BenchFormat::kCsv, columns));
  REQUIRE(csv_fields(csv[0]).size() == csv_fields(csv[1]).size());
  CHECK(csv_fields(csv[1]).size() == csv_fields(csv[2]).size());
}

TEST_CASE("bench: saved runs are read in both forms, and other tools'") {
  const test::TempDir dir;
  const auto rate = [&](std::string_view text, const BenchCase& c) {
    test::write_file(dir / "run", text);
    const auto run = SavedRun::open(dir / "run");
    REQUIRE_MESSAGE(run.has_value(), (run ? "" : run.error().message));
    return run->rate_of(c);
  };
  const std::vector<BenchRow> rows = {example(true)};
  BenchCase c = rows[0].bench_case;
  for (const BenchFormat format : {BenchFormat::kJson, BenchFormat::kJsonLines})
    CHECK(rate(format_rows(rows, format, {}), c).value_or(0) == doctest::Approx(350.0 / 3));
  c.cache_type = CacheType::kF16;
  const char* other =
      R"([{"n_prompt": 100, "n_gen": 0, "n_depth": 10, "n_threads": 2, "type_k": "f16",
           "avg_ts": 7.5, "use_mmap": true, "samples_ns": [1, 2]},
          {"n_prompt": 64, "n_gen": 0, "avg_ts": 9}])";
  CHECK(rate(other, c) == 7.5);
  c.n_threads = 3;
  CHECK(rate(other, c) == std::nullopt);
  c.test = {.n_prompt = 64};
  CHECK(rate(other, c) == 9);
  c.test.n_sequences = 2;
  CHECK(rate(other, c) == std::nullopt);
  c.test.n_sequences = 1;
  // A type that our cache does not have is another one than ours.
  const char* types = R"([{"n_prompt": 64, "n_gen": 0, "avg_ts": 5, "type_k": "Q8_0"},
                          {"n_prompt": 64, "n_gen": 0, "avg_ts": 6, "type_k": "turbo3"}])";
  CHECK(rate(types, c) == std::nullopt);
  c.cache_type = CacheType::kQ8_0;
  CHECK(rate(types, c) == 5);
}

TEST_CASE("bench: a file that is no saved run is told, with the place") {
  const test::TempDir dir;
  for (const char* text :
       {"", " \n", "[]", "{", "[1]", "{\"n_prompt\": 1}\n{", "[{\"n_prompt\": -1}]",
        "[{\"n_prompt\": 1, \"n_gen\": 0, \"avg_ts\": 0}]",
        "[{\"n_prompt\": 1, \"n_gen\": 0, \"avg_ts\": \"x\"}]"}) {
    CAPTURE(text);
    test::write_file(dir / "run", text);
    const auto run = SavedRun::open(dir / "run");
    REQUIRE_FALSE(run);
    CHECK(run.error().code == Errc::kContent);
    CHECK(run.error().message.starts_with((dir / "run").string()));
    CHECK(run.error().message.find('\n') == std::string::npos);
  }
  CHECK(SavedRun::open(dir / "none").error().code == Errc::kMissing);
}

TEST_CASE("bench: without limits there are no columns for them") {
  const std::vector<BenchRow> rows = {example(false)};
  CHECK(format_rows(rows, BenchFormat::kMarkdown, {}).find("bandwidth") == std::string::npos);
  CHECK(format_rows(rows, BenchFormat::kCsv, {}).find("bytes_per_second") == std::string::npos);
  CHECK(!Json::parse(format_rows(rows, BenchFormat::kJson, {}))[0].contains("limits"));
  CHECK(Json::parse(format_rows({}, BenchFormat::kJson, {})).empty());
}

TEST_CASE("bench: the cost of a token, counted by hand") {
  // tiny-lite: hidden 96, 4 heads of 32 + 16 and 32, latent 32 + 16, 3 layers of which the first is
  // dense (224), 8 experts of 32, 3 used, 2 shared, 320 tokens.
  const double attention = 4 * 48 * 96 + 48 * 96 + 4 * (32 + 32) * 32 + 96 * 4 * 32;
  const double dense = 3 * 96 * 224, shared = 3 * 96 * 64, router = 8 * 96, expert = 3 * 96 * 32;
  const double head = 320 * 96;
  const double weights = 3 * attention + dense + 2 * (shared + router + 3 * expert) + head;
  const double norms = 3 * (96 + 96 + 32) + 96;
  const TestCost one = step_cost(test::tiny_model(), CacheType::kF32, 9, 1, 1);
  CHECK(one.bytes == doctest::Approx(4 * (weights + norms + 96) + 3 * 10 * 48 * 4));
  // Absorbed, 4 heads: 48 + 32 products for each of 10 cached tokens.
  CHECK(one.int8_ops == doctest::Approx(2 * (weights + 3.0 * 10 * 4 * (48 + 32))));

  // Several sequences: the weights once, but for experts; all else for each.
  const TestCost four = step_cost(test::tiny_model(), CacheType::kF32, 9, 1, 1, 4);
  const double chosen = 8 * (1 - std::pow(1 - 3.0 / 8, 4)) - 3;  // more than one token's
  CHECK(four.bytes == doctest::Approx(4 * (weights + 2 * chosen * expert + norms + 4 * 96) +
                                      4 * 3 * 10 * 48 * 4));
  CHECK(four.int8_ops == doctest::Approx(4 * one.int8_ops));

  // Many tokens read every expert; no logits. Rebuilt keys and values cost as much as absorbed
  // ones.
  const TestCost many = step_cost(test::tiny_model(), CacheType::kF32, 0, 100, 0);
  const double all = 3 * attention + dense + 2 * (shared + router + 8 * expert);
  CHECK(many.bytes == doctest::Approx(4 * (all + norms - 96 + 100 * 96) + 3 * 100 * 48 * 4));
  CHECK(many.int8_ops ==
        doctest::Approx(2 * (100 * (weights - head) + 3 * 5050.0 * 4 * (48 + 32))));
}

TEST_CASE("bench: a test's cost is the sum of its steps") {
  BenchCase c{.n_batch = 8, .test = {.n_prompt = 12, .n_gen = 2, .n_depth = 5}};
  const Model& model = test::tiny_model();
  const TestCost steps[] = {
      step_cost(model, c.cache_type, 5, 8, 0), step_cost(model, c.cache_type, 13, 4, 1),
      step_cost(model, c.cache_type, 17, 1, 1), step_cost(model, c.cache_type, 18, 1, 1)};
  double bytes = 0, ops = 0;
  for (const TestCost& s : steps) {
    bytes += s.bytes;
    ops += s.int8_ops;
  }
  CHECK(test_cost(model, c).bytes == doctest::Approx(bytes));
  CHECK(test_cost(model, c).int8_ops == doctest::Approx(ops));
  c.test.n_sequences = 3;
  CHECK(test_cost(model, c).int8_ops == doctest::Approx(3 * ops));
  CHECK(test_cost(model, c).bytes < 3 * bytes);
}

TEST_CASE("bench: the loops behind the limits run on every instruction set of this machine") {
  alignas(64) static std::byte memory[4096];
  for (size_t i = 0; i < sizeof(memory); ++i) memory[i] = static_cast<std::byte>(i * 7 + i / 256);
  for (const cpu::KernelTable* kernels : cpu::available_kernels()) {
    INFO(kernels->name);
    const cpu::PeakLoop loop = cpu::peak_loop(kernels->name);
    CHECK(!loop.instruction.empty());
    // No core does more than 2 x 64 products a cycle, with tiles 1024, nor 8 GHz; a loop that the
    // compiler took apart would be faster than that.
    const int most_a_cycle = std::string_view(kernels->name) == "amx" ? 1024 : 128;
    constexpr uint64_t kRounds = 200'000;
    const auto start = std::chrono::steady_clock::now();
    volatile uint32_t result = loop.run(kRounds);
    static_cast<void>(result);
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    CHECK(static_cast<double>(loop.multiply_adds * kRounds) / seconds < most_a_cycle * 8e9);
    uint64_t flipped = cpu::read_once(kernels->name, memory, sizeof(memory));
    memory[4095 / 64 * 64] ^= std::byte{1};
    flipped ^= cpu::read_once(kernels->name, memory, sizeof(memory));
    CHECK(flipped == 1);  // the last cache line was read
  }
}

TEST_CASE("bench: runs the model, and says it as json") {
  const test::RunResult result =
      test::run_minke({"bench", "-m", test::tiny_model_file(), "-p", "16", "-n", "4", "-pg", "8,2",
                       "-d", "0,20", "-r", "2", "-t", "1", "-o", "json"});
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  CHECK(result.err.empty());
  const Json rows = Json::parse(result.out);
  REQUIRE(rows.size() == 6);
  CHECK(rows[0]["test"] == "pp16");
  CHECK(rows[5]["test"] == "pp8+tg2 @ d20");
  for (const Json& row : rows) {
    CHECK(row["avg_ts"].get<double>() > 0);
    CHECK(row["samples_ts"].size() == 2);
    CHECK(row["n_threads"] == 1);
  }
}

TEST_CASE("bench: sequences side by side, and the run before beside them") {
  const test::TempDir dir;
  const std::vector<std::string> arguments = {"bench", "-m",  test::tiny_model_file(),
                                              "-p",    "16",  "-n",
                                              "4",     "-np", "1,3",
                                              "-d",    "5",   "-r",
                                              "1",     "-t",  "1"};
  const auto run = [&](const std::vector<std::string>& more) {
    std::vector<std::string> all = arguments;
    all.insert(all.end(), more.begin(), more.end());
    test::RunResult result = test::run_minke(all);
    INFO(result.err);
    REQUIRE(result.exit_code == 0);
    return result.out;
  };
  const std::string saved = run({"-o", "json"});
  const Json rows = Json::parse(saved);
  REQUIRE(rows.size() == 4);
  CHECK(rows[3]["test"] == "tg4 x 3 @ d5");
  CHECK(rows[3]["n_sequences"] == 3);
  test::write_file(dir / "saved.json", saved);
  const auto lines = lines_of(run({"--compare", dir / "saved.json"}));
  REQUIRE(lines.size() == 6);
  for (size_t i = 2; i < 6; ++i) CHECK(lines[i].ends_with("x |"));
}

TEST_CASE(
    "bench: a test longer than the model's context is told; names of files may be any bytes") {
  const test::TempDir dir;
  const std::filesystem::path odd = dir / "m\xe9\n.gguf";
  std::filesystem::create_symlink(test::tiny_model_file(), odd);
  const test::RunResult result = test::run_minke(
      {"bench", "-m", odd, "-p", "2561", "-n", "0", "-r", "1", "-t", "1", "-o", "json"});
  INFO(result.err);
  CHECK(result.exit_code == 0);
  CHECK(result.err.find("longer than the 2560") != std::string::npos);
  CHECK(Json::parse(result.out)[0]["model_filename"] == (dir / "m\\xe9\\x0a.gguf").string());
}

TEST_CASE("bench: what is wrong is one line and the right exit code") {
  const auto check = [](const std::vector<std::string>& arguments, int exit_code, const char* part,
                        const std::vector<std::string>& environment = {}) {
    const test::RunResult result = test::run_minke(arguments, environment);
    test::check_refused(result, exit_code, part);
  };
  const std::string model = test::tiny_model_file();
  check({"bench", "-m", "/no/such/model"}, 66, "/no/such/model");
  check({"bench", "-m", model, "-pg", "5"}, 1, "-pg");
  check({"bench", "-m", model, "-pg", "\x1b[1m"}, 1, "'\\x1b[1m'");
  check({"bench", "-m", model, "-p", "0", "-n", "0"}, 1, "nothing to measure");
  check({"bench", "-m", model, "-t", "1,0"}, 1, "--threads");
  check({"bench", "-m", model, "-o", "xml"}, 1, "--output");
  check({"bench", "-m", model, "-np", "0"}, 1, "--parallel");
  check({"bench", "-m", model, "--compare", "/no/such/run"}, 66, "/no/such/run");
  check({"bench", "-m", model, "-o", "json"}, 1, "sse9", {"MINKE_ISA=sse9"});
}
