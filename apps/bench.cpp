// `minke bench`: how fast a model runs, and how near to the machine's limits.
#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <optional>

#include "apps/bench_compare.h"
#include "apps/bench_limits.h"
#include "apps/bench_report.h"
#include "apps/bench_runner.h"
#include "apps/model_options.h"
#include "apps/terminal.h"
#include "backends/cpu/cpu_backend.h"
#include "backends/cpu/isa.h"
#include "runtime/input_file.h"
#include "runtime/utf8.h"

namespace minke::apps {
namespace {

constexpr int kMaxTokens = 1 << 20;
constexpr int kMaxSequences = 256;

struct BenchOptions {
  std::vector<std::filesystem::path> models;
  BenchPlan plan;
  std::vector<std::string> pairs, cache_types;
  int repetitions = 5;
  BenchFormat format = BenchFormat::kMarkdown;
  bool limits = false;
  std::filesystem::path saved;
};

/// "512,128": both at least 1.
Result<BenchTest> parse_pair(const std::string& text) {
  const size_t comma = text.find(',');
  if (comma != std::string::npos) {
    const std::array parts = {text.substr(0, comma), text.substr(comma + 1)};
    std::array<int, 2> n = {};
    bool good = true;
    for (size_t i = 0; i < 2; ++i) {
      good = good && CLI::detail::lexical_cast(parts[i], n[i]);
      good = good && n[i] >= 1 && n[i] <= kMaxTokens;
    }
    if (good) return BenchTest{.n_prompt = n[0], .n_gen = n[1]};
  }
  return usage("-pg: '{}' is not PP,TG as in 512,128", printable(text));
}

Status complete_plan(BenchOptions& options) {
  for (const std::string& text : options.pairs) {
    MINKE_ASSIGN(const BenchTest pair, parse_pair(text));
    options.plan.pairs.push_back(pair);
  }
  if (!options.cache_types.empty()) options.plan.cache_types.clear();
  for (const std::string& name : options.cache_types)
    options.plan.cache_types.push_back(*find_cache_type(name));
  if (options.plan.cases().empty()) return usage("nothing to measure: -p and -n are 0");
  return {};
}

/// One model's cases.
class Bench {
 public:
  /// `saved`: a run to compare with, or null.
  Bench(const BenchOptions& options, const BenchColumns& columns, const SavedRun* saved,
        std::vector<BenchRow>& rows)
      : options_(&options), columns_(columns), saved_(saved), rows_(&rows) {}

  Status run(const std::filesystem::path& path) {
    MINKE_ASSIGN(model_, Model::open(path));
    int longest = 0;
    for (const BenchCase& bench_case : options_->plan.cases())
      longest = std::max(longest, bench_case.test.n_ctx());
    warn_of_long_context(*model_, longest);
    MINKE_TRY(read_into_memory(*model_, false));
    for (const BenchCase& bench_case : options_->plan.cases()) MINKE_TRY(measure(bench_case));
    return {};
  }

 private:
  Status measure(BenchCase bench_case) {
    if (!backend_ || backend_threads_ != bench_case.n_threads) {
      MINKE_ASSIGN(backend_, make_cpu_backend({.n_threads = bench_case.n_threads}));
      backend_threads_ = bench_case.n_threads;
    }
    bench_case.n_threads = backend_->n_threads();
    BenchRow row = describe(bench_case);
    if (saved_ != nullptr) row.saved_rate = saved_->rate_of(bench_case);
    if (options_->limits) {
      MINKE_TRY(make_meter());
      row.limits = {meter_->measure(bench_case.n_threads), test_cost(*model_, bench_case)};
    }
    MINKE_ASSIGN(row.seconds, time_case(*model_, *backend_, bench_case, options_->repetitions,
                                        [&](int i) { show_progress(bench_case.test, i); }));
    if (options_->limits) take_better(meter_->measure(bench_case.n_threads), row.limits->machine);
    status_.clear();
    fmt::print("{}", format_row(row, options_->format, columns_, rows_->empty()));
    std::fflush(stdout);
    rows_->push_back(std::move(row));
    return {};
  }

  Status make_meter() {
    if (meter_) return {};
    const std::string name = backend_->name();
    MINKE_ASSIGN(meter_, LimitMeter::create(name.substr(name.find(':') + 1)));
    return {};
  }

  /// The limits drift on a shared machine: what was reached before or after a test counts.
  static void take_better(const MachineLimits& later, MachineLimits& limits) {
    limits.bytes_per_second = std::max(limits.bytes_per_second, later.bytes_per_second);
    limits.int8_ops_per_second = std::max(limits.int8_ops_per_second, later.int8_ops_per_second);
  }

  BenchRow describe(const BenchCase& bench_case) const {
    const auto [n_params, n_bytes] = count_parameters(*model_);
    return {.model = model_name(*model_),
            .file = printable_path(model_->file().path()),
            .size_bytes = n_bytes,
            .n_params = n_params,
            .backend = backend_->name(),
            .bench_case = bench_case,
            .seconds = {},
            .limits = {},
            .saved_rate = {}};
  }

  void show_progress(const BenchTest& test, int repetition) {
    const std::string what =
        repetition == 0 ? "warm-up" : fmt::format("{} of {}", repetition, options_->repetitions);
    status_.show(fmt::format("{}: {}", test.name(), what));
  }

  const BenchOptions* options_;
  BenchColumns columns_;
  const SavedRun* saved_;
  StatusLine status_;
  std::vector<BenchRow>* rows_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<LimitMeter> meter_;
  int backend_threads_ = -1;
};

Status bench(BenchOptions& options) {
  MINKE_TRY(complete_plan(options));
  std::vector<BenchRow> rows;
  // A bad file, or a bad MINKE_ISA, is told before anything is printed.
  for (const auto& path : options.models) MINKE_TRY(Model::open(path));
  MINKE_TRY(cpu::default_kernels());
  std::optional<SavedRun> saved;
  if (!options.saved.empty()) {
    MINKE_ASSIGN(saved, SavedRun::open(options.saved));
  }
  BenchColumns columns = columns_for(options.plan.cases(), options.limits);
  columns.saved = saved.has_value();
  fmt::print("{}", format_header(options.format, columns));
  for (const auto& path : options.models)
    MINKE_TRY(Bench(options, columns, saved ? &*saved : nullptr, rows).run(path));
  fmt::print("{}", format_footer(rows, options.format));
  return {};
}

void add_list(CLI::App& app, const std::string& flags, std::vector<int>& list, int low, int high,
              const std::string& help) {
  app.add_option(flags, list, help)
      ->delimiter(',')
      ->check(CLI::Range(low, high))
      ->type_name("N,...");
}

}  // namespace

Action setup_bench(CommandLine& line) {
  const auto options = std::make_shared<BenchOptions>();
  CLI::App& app = line.app();
  BenchPlan& plan = options->plan;
  app.add_option("-m,--model", options->models, "The model: a GGUF file; may be repeated")
      ->required()
      ->type_name("FILE");
  add_list(app, "-p,--n-prompt", plan.n_prompts, 0, kMaxTokens,
           "Read prompts of N tokens; 512 if not said, 0: no such test");
  add_list(app, "-n,--n-gen", plan.n_gens, 0, kMaxTokens,
           "Generate N tokens; 128 if not said, 0: no such test");
  line.alias("-pg", app.add_option("--n-prompt-gen", options->pairs,
                                   "Read PP tokens, then generate TG; may be repeated")
                        ->expected(1)
                        ->take_all()
                        ->type_name("PP,TG"));
  add_list(app, "-d,--n-depth", plan.n_depths, 0, kMaxTokens,
           "Tokens that the cache holds before a test, made up; 0 if not said");
  add_list(app, "--parallel", plan.n_sequences, 1, kMaxSequences,
           "Sequences, each with its own tokens, that generate side by side; 1 if not said");
  line.alias("-np", app.get_option("--parallel"));
  add_list(app, "-b,--batch-size", plan.n_batches, 1, 65536,
           "Tokens of one step at most; 512 if not said");
  add_list(app, "--ubatch-size", plan.n_ubatches, 1, 65536,
           "The same as -b; the smaller of both counts");
  line.alias("-ub", app.get_option("--ubatch-size"));
  add_list(app, "-t,--threads", plan.n_threads, 1, 1024,
           "Threads; if not said one a core, or as many as a CPU quota allows");
  line.alias("-ctk",
             app.add_option("--cache-type-k", options->cache_types,
                            fmt::format("Types of the cache: {}; {} if not said",
                                        cache_type_names(), cache_type_name(kDefaultCacheType)))
                 ->delimiter(',')
                 ->check(problem_with_cache_type)
                 ->type_name("TYPE,..."));
  app.add_option("-r,--repetitions", options->repetitions, "Times that each test runs")
      ->check(CLI::Range(1, 10000))
      ->capture_default_str()
      ->type_name("N");
  app.add_option_function<std::string>(
         "-o,--output",
         [options](const std::string& format) {
           options->format = format == "csv"     ? BenchFormat::kCsv
                             : format == "json"  ? BenchFormat::kJson
                             : format == "jsonl" ? BenchFormat::kJsonLines
                                                 : BenchFormat::kMarkdown;
         },
         "Format of the results; md if not said")
      ->check(CLI::IsMember({"md", "csv", "json", "jsonl"}))
      ->type_name("FORMAT");
  app.add_flag("--limits", options->limits,
               "Measure the read bandwidth and the int8 multiply-add peak beside each test, and "
               "show what part of each the test reached");
  app.add_option(
         "--compare", options->saved,
         "Set a saved run beside the results: a file of -o json or -o jsonl, of minke bench "
         "or llama-bench, where the cache has the same type (llama-bench's is f16 if not said)")
      ->type_name("FILE");
  return [options] { return bench(*options); };
}

}  // namespace minke::apps
