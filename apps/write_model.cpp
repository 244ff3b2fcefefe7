#include "apps/write_model.h"

#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <map>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include "apps/convert_progress.h"
#include "backends/cpu/isa.h"
#include "convert/convert.h"
#include "convert/estimate.h"
#include "runtime/input_file.h"
#include "runtime/processors.h"
#include "runtime/system.h"
#include "runtime/utf8.h"

namespace minke::apps {
namespace {

namespace fs = std::filesystem;

bool is_copy_name(std::string_view type) {
  return CLI::detail::to_lower(std::string(type)) == "copy";
}

std::atomic<bool> stop_requested{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler sets it");

/// While one lives, signals that would end the program ask the conversion to stop. One at a time.
class StopOnSignals {
 public:
  StopOnSignals() {
    stop_requested = false;
    struct sigaction action = {};
    action.sa_handler = [](int) { stop_requested = true; };
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < kSignals.size(); ++i) {
      sigaction(kSignals[i], nullptr, &before_[i]);
      // Under nohup a terminal that goes away stops nothing.
      const bool is_ignored = kSignals[i] == SIGHUP && before_[i].sa_handler == SIG_IGN;
      if (!is_ignored) sigaction(kSignals[i], &action, nullptr);
    }
  }
  ~StopOnSignals() {
    for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &before_[i], nullptr);
  }
  StopOnSignals(const StopOnSignals&) = delete;
  StopOnSignals& operator=(const StopOnSignals&) = delete;

 private:
  static constexpr std::array kSignals = {SIGINT, SIGTERM, SIGHUP};
  std::array<struct sigaction, kSignals.size()> before_;
};

/// "27 as Q5_0 for Q4_K, ..": tensors whose rows are not whole blocks of the type they should have.
/// Empty if there are none.
std::string fallback_text(const convert::Conversion& conversion) {
  std::map<std::pair<std::string_view, std::string_view>, int> counts;
  for (const convert::PlannedTensor& tensor : conversion.tensors()) {
    if (tensor.desc.dtype == tensor.wanted) continue;
    ++counts[{dtype_name(tensor.desc.dtype), dtype_name(tensor.wanted)}];
  }
  std::string text;
  for (const auto& [types, n] : counts) {
    text +=
        fmt::format("{}{} as {} for {}", text.empty() ? "" : ", ", n, types.first, types.second);
  }
  return text;
}

/// One line a tensor, then the sum of each type.
Status print_plan(const WriteOptions& options, const convert::Conversion& conversion) {
  MINKE_ASSIGN(const convert::PipelineShape shape, conversion.plan_memory(options.n_threads));
  std::map<std::string_view, std::pair<size_t, uint64_t>> types;
  for (const convert::PlannedTensor& tensor : conversion.tensors()) {
    const std::string_view type = dtype_name(tensor.desc.dtype);
    fmt::print("{:<34} {:>20} {:>8} {:>12}\n", tensor.name, to_string(tensor.desc.shape), type,
               size_text(tensor.desc.bytes()));
    auto& [n, bytes] = types[type];
    ++n;
    bytes += tensor.desc.bytes();
  }
  for (const auto& [type, sum] : types) {
    fmt::print("{}: {} tensors, {}\n", type, sum.first, size_text(sum.second));
  }
  const std::string fallbacks = fallback_text(conversion);
  if (!fallbacks.empty()) fmt::print("rows that are not whole blocks: {}\n", fallbacks);
  fmt::print("{} tensors, {} of weights\n", conversion.tensors().size(),
             size_text(conversion.tensor_bytes()));
  const double seconds =
      convert::estimate_seconds(conversion.tensors(), static_cast<int>(shape.n_workers));
  fmt::print("{} threads: at most {} of buffers, about {} of encoding\n", shape.n_workers,
             size_text(shape.memory_bytes), duration_text(seconds));
  return {};
}

/// Nothing for an empty name.
Result<std::optional<DType>> parse_type(std::string_view option, const std::string& name) {
  if (name.empty()) return std::nullopt;
  const FormatTraits* format = find_format(name);
  if (format != nullptr) return format->dtype;
  return usage("{}: unknown type '{}'", option, printable(name));
}

fs::path partial_path(const WriteOptions& options) {
  fs::path path = options.output;
  path += ".partial";
  return path;
}

Status check_output(const WriteOptions& options) {
  if (options.dry_run) return {};
  if (options.output.empty()) return usage("no output: give -o FILE (see --help)");
  return check_output_name(options.output, options.force, options.resume);
}

/// --force replaces what is not read.
Status check_inputs_stay(const WriteOptions& options, const convert::Source& source) {
  for (const InputFile* file : source.files)
    MINKE_TRY(check_not_input(options.output, file->path()));
  MINKE_TRY(check_not_input(options.output, source.other_files));
  return check_not_input(options.output, options.imatrix);
}

Status run_conversion(const WriteOptions& options, const convert::Conversion& conversion) {
  using Start = convert::Conversion::Start;
  using Existing = convert::Conversion::Existing;
  const StopOnSignals signals;
  ConvertProgressLine line;
  const auto show = [&](const convert::Progress& progress) {
    line.show(progress);
    return !stop_requested;
  };
  return conversion.run(options.output, options.n_threads, show,
                        options.resume ? Start::kResume : Start::kAnew,
                        options.force ? Existing::kReplace : Existing::kRefuse);
}

Status write_file(const WriteOptions& options, const convert::Conversion& conversion) {
  const convert::Source& source = conversion.source();
  print_note(fmt::format(
      "{}: {} layers, {} in {} {}, to {} of weights", printable_path(source.path), source.n_layers,
      size_text(source.tensor_bytes()), source.files.size(),
      source.files.size() == 1 ? "file" : "files", size_text(conversion.tensor_bytes())));
  const std::string fallbacks = fallback_text(conversion);
  if (!fallbacks.empty()) print_note("rows that are not whole blocks: " + fallbacks);
  const auto start = std::chrono::steady_clock::now();
  const Status status = run_conversion(options, conversion);
  if (!status) {
    std::error_code ignored;
    // Not where another run's was found, which this one has not touched.
    const bool is_ours = status.error().code != Errc::kUsage || !options.resume;
    if (is_ours && fs::exists(convert::Journal::path_for(options.output), ignored)) {
      print_note(printable_path(partial_path(options)) + ": kept; --resume goes on from there");
    }
    return status;
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  std::error_code ignored;
  print_note(fmt::format("wrote {}: {} in {}", printable_path(options.output),
                         size_text(fs::file_size(options.output, ignored)),
                         duration_text(took.count())));
  return {};
}

}  // namespace

void add_write_options(CLI::App& app, WriteOptions& options) {
  options.n_threads = std::min(usable_cores(), convert::Conversion::kMaxThreads);
  app.add_option("-o,--output", options.output, "The GGUF file to write")->type_name("FILE");
  app.add_option("--type", options.type,
                 "How weights are stored: " + convert::recipe_names() +
                     "; or auto:BITS, auto:SIZEGiB, auto:SIZEMiB: the types that lose least where "
                     "all weights together take BITS each, or that size; metadata comes on top "
                     "(needs --imatrix with sensitivities)")
      ->type_name("T");
  app.add_option("--tensor-type", options.tensor_types,
                 "The type of the matrices in whose names a regular expression is found, as in "
                 "'ffn_down=q6_k'; repeatable, the first that matches counts")
      ->type_name("REGEX=T")
      ->allow_extra_args(false);
  app.add_option("--output-tensor-type", options.output_type,
                 "The type of the matrix that gives the logits")
      ->type_name("T");
  app.add_flag("--leave-output-tensor", options.leave_output,
               "Store the matrix that gives the logits as the input has it");
  app.add_option("--token-embedding-type", options.token_embedding_type,
                 "The type of the token embeddings")
      ->type_name("T");
  app.add_option("--imatrix", options.imatrix,
                 "Let errors count by what comes into each column, as `minke imatrix` or "
                 "llama-imatrix measured it")
      ->type_name("FILE");
  app.add_flag("--pure", options.pure, "One type for all matrices, without the recipe's mix");
  app.add_option("-t,--threads", options.n_threads, "Threads that encode")
      ->check(CLI::Range(1, convert::Conversion::kMaxThreads))
      ->capture_default_str()
      ->type_name("N");
  app.add_flag(
      "--dry-run", options.dry_run,
      "Check the input; show each tensor's type and size, and the time and memory that are "
      "needed; write nothing");
  app.add_flag("--resume", options.resume,
               "Go on where a run with the same input and options was cut off, if one was");
  app.add_flag("--force", options.force, "Replace the output file if it is there");
}

Result<convert::TypeChoices> check_write_options(const WriteOptions& options, bool allow_copy) {
  const std::string known = convert::recipe_names() + ", auto:SIZE" + (allow_copy ? ", COPY" : "");
  if (options.type.empty()) return usage("no type: give --type ({})", known);
  convert::TypeChoices choices;
  choices.allow_requantize = options.allow_requantize;
  MINKE_ASSIGN(choices.budget, convert::parse_size_budget(options.type));
  choices.recipe = convert::find_recipe(options.type);
  if (choices.recipe == nullptr && !choices.budget && !(allow_copy && is_copy_name(options.type))) {
    return usage("unknown type '{}' (known: {})", printable(options.type), known);
  }
  choices.pure = options.pure;
  choices.leave_output = options.leave_output;
  if (choices.pure && choices.recipe == nullptr)
    return usage("--pure: {} is not one type", options.type);
  MINKE_ASSIGN(choices.output, parse_type("--output-tensor-type", options.output_type));
  if (choices.output && choices.leave_output)
    return usage("--leave-output-tensor and --output-tensor-type contradict each other");
  MINKE_ASSIGN(choices.token_embedding,
               parse_type("--token-embedding-type", options.token_embedding_type));
  for (const std::string& text : options.tensor_types) {
    auto rule = convert::TypeRule::parse(text);
    if (!rule) return usage("--tensor-type {}", rule.error().message);
    choices.rules.push_back(std::move(*rule));
  }
  MINKE_TRY(cpu::default_kernels());  // What MINKE_ISA names, the encoders obey too.
  MINKE_TRY(check_output(options));
  return choices;
}

Status write_model(const WriteOptions& options, convert::Source source,
                   const convert::TypeChoices& choices) {
  if (!options.dry_run) MINKE_TRY(check_inputs_stay(options, source));
  for (const std::string& warning : source.warnings) print_note("warning: " + warning);
  std::shared_ptr<const convert::ImportanceMatrix> importance;
  if (!options.imatrix.empty()) {
    MINKE_ASSIGN(auto matrix, convert::read_imatrix(options.imatrix));
    importance = std::make_shared<const convert::ImportanceMatrix>(std::move(matrix));
  }
  MINKE_ASSIGN(const auto conversion,
               convert::Conversion::prepare(std::move(source), choices, std::move(importance)));
  if (const int n_missing = conversion.n_without_importance(); n_missing > 0)
    print_note(fmt::format("warning: {}: nothing of {} tensors that are quantized",
                           printable_path(options.imatrix), n_missing));
  if (!options.dry_run) {
    constexpr int kOthers = 2;  // That read, and that hash the source.
    MINKE_TRY(check_threads(options.n_threads + kOthers));
    return write_file(options, conversion);
  }
  return print_plan(options, conversion);
}

}  // namespace minke::apps
