#include "apps/model_options.h"

#include <algorithm>
#include <chrono>

#include "apps/convert_progress.h"
#include "apps/terminal.h"
#include "apps/text_input.h"
#include "backends/cpu/cpu_backend.h"
#include "runtime/input_file.h"
#include "runtime/model_ranges.h"
#include "runtime/utf8.h"

namespace minke::apps {
namespace {

constexpr int kMaxThreads = 1024;
constexpr int kMaxBatch = 65536;

/// Texts of the command line become tokens and go into session files.
std::string problem_with_text(const std::string& text) {
  return is_valid_utf8(text) ? "" : "is not UTF-8 text";
}

/// Checks a parameter's value by setting it, so that a wrong one is told before anything is loaded.
std::string problem_with(std::string_view name, const std::string& value) {
  if (std::string problem = problem_with_text(value); !problem.empty()) return problem;
  Parameters scratch;
  const Status status = scratch.set(name, value);
  return status ? "" : status.error().message;
}

}  // namespace

std::string cache_type_names() {
  std::string names;
  for (const CacheType type : cache_types())
    names += fmt::format("{}{}", names.empty() ? "" : ", ", cache_type_name(type));
  return names;
}

std::string problem_with_cache_type(const std::string& name) {
  if (find_cache_type(name)) return "";
  return fmt::format("no cache has the type '{}': use one of {}", printable(name),
                     cache_type_names());
}

void ModelOptions::add_to(CommandLine& line) {
  CLI::App& app = line.app();
  app.option_defaults()->group("Model");
  app.add_option("-m,--model", model, "The model: a GGUF file, or any part of one that is split")
      ->required()
      ->type_name("FILE");
  app.add_option("-c,--ctx-size", n_ctx, "Tokens of context; 0: the model's, as memory allows")
      ->check(CLI::Range(int64_t{0}, ranges::kContext.high))
      ->capture_default_str()
      ->type_name("N");
  app.add_option("-t,--threads", n_threads,
                 "Threads; if not said one a core, or as many as a CPU quota allows")
      ->check(CLI::Range(1, kMaxThreads))
      ->type_name("N");
  app.add_option("-b,--batch-size", n_batch, "Tokens of a prompt read in one step at most")
      ->check(CLI::Range(1, kMaxBatch))
      ->capture_default_str()
      ->type_name("N");
  CLI::Option* ubatch =
      app.add_option("--ubatch-size", n_ubatch, "The same as -b; the smaller of both counts")
          ->check(CLI::Range(1, kMaxBatch))
          ->type_name("N");
  line.alias("-ub", ubatch);
  CLI::Option* type = app.add_option_function<std::string>(
                             "--cache-type-k",
                             [this](const std::string& name) {
                               cache_type = find_cache_type(name).value_or(cache_type);
                             },
                             fmt::format("Type of the cache, from the largest to the smallest: {}; "
                                         "{} if not said",
                                         cache_type_names(), cache_type_name(kDefaultCacheType)))
                          ->check(problem_with_cache_type)
                          ->type_name("TYPE");
  line.alias("-ctk", type);
  app.add_flag("--mlock", mlock,
               "Keep the whole file in memory; an error if the limit (ulimit -l) is lower");
}

int ModelOptions::batch_tokens() const noexcept {
  return n_ubatch > 0 ? std::min(n_batch, n_ubatch) : n_batch;
}

Status read_into_memory(const Model& model, bool mlock) {
  using Clock = std::chrono::steady_clock;
  constexpr double kInterval = 0.2;  // seconds
  const Clock::time_point start = Clock::now();
  StatusLine line;
  double next = kInterval;
  MINKE_TRY(model.file().page_in([&](uint64_t done) {
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    if (seconds < next) return;
    next = seconds + kInterval;
    line.show(fmt::format("reading the model: {} of {}, {}/s", size_text(done),
                          size_text(model.file().file_bytes()),
                          size_text(static_cast<uint64_t>(static_cast<double>(done) / seconds))));
  }));
  return mlock ? model.file().lock() : Status{};
}

Result<LoadedModel> load_model(const ModelOptions& options) {
  LoadedModel loaded;
  MINKE_ASSIGN(loaded.model, Model::open(options.model));
  MINKE_ASSIGN(loaded.backend, make_cpu_backend({.n_threads = options.n_threads}));
  MINKE_ASSIGN(loaded.engine, Engine::create(*loaded.model, *loaded.backend,
                                             {.n_ctx = options.n_ctx,
                                              .n_batch = options.batch_tokens(),
                                              .cache_type = options.cache_type}));
  warn_of_long_context(*loaded.model, loaded.engine->runner().n_ctx());
  return loaded;
}

void warn_of_long_context(const Model& model, int n_ctx) {
  const deepseek2::Config& config = model.config();
  // Files give the length that YaRN reaches; some give the one before.
  const double trained =
      std::max<double>(config.n_ctx_train, config.yarn_original_ctx * double{config.yarn_factor});
  if (n_ctx <= trained) return;
  print_note(fmt::format(
      "a context of {} tokens is longer than the {:.0f} that the model was trained for: what it "
      "says beyond them may make no sense",
      n_ctx, trained));
}

std::string model_name(const Model& model) {
  const auto named = model.file().get_string_or("general.name", "");
  return named && !named->empty() ? printable(*named)
                                  : printable(model.file().path().filename().string());
}

std::string LoadedModel::describe() const {
  const auto [values, bytes] = count_parameters(*model);
  const bool large = values >= 1'000'000'000;
  return fmt::format("{}, {:.1f} {} parameters, {:.1f} {}", model_name(*model),
                     static_cast<double>(values) / (large ? 1e9 : 1e6), large ? "B" : "M",
                     static_cast<double>(bytes) / (bytes >= 1'000'000'000 ? 1e9 : 1e6),
                     bytes >= 1'000'000'000 ? "GB" : "MB");
}

std::pair<uint64_t, uint64_t> count_parameters(const Model& model) {
  uint64_t values = 0, bytes = 0;
  for (const GgufTensor& tensor : model.file().tensors()) {
    values += static_cast<uint64_t>(tensor.desc.shape.elements());
    bytes += tensor.data.size();
  }
  return {values, bytes};
}

void ParameterOptions::add_to(CommandLine& line) {
  CLI::App& app = line.app();
  app.option_defaults()->group("Answers");
  for (const ParameterInfo& info : parameter_table()) {
    const std::string flags(info.flags), help(info.help);
    if (info.metavar.empty()) {
      app.add_flag_callback(
          flags, [this, &info] { said_.emplace_back(info.name, "on"); }, help);
      continue;
    }
    const std::string value = info.name == "seed" || info.repeats || info.name == "samplers"
                                  ? ""
                                  : fmt::format(" [{}]", info.print(ParameterValues{}));
    app.add_option_function<std::vector<std::string>>(
           flags,
           [this, &info](const std::vector<std::string>& values) {
             for (const std::string& text : values) said_.emplace_back(info.name, text);
           },
           help + value)
        ->check([&info](const std::string& text) { return problem_with(info.name, text); })
        ->expected(1)
        ->allow_extra_args(false)
        ->multi_option_policy(info.repeats ? CLI::MultiOptionPolicy::TakeAll
                                           : CLI::MultiOptionPolicy::TakeLast)
        ->type_name(std::string(info.metavar));
  }
}

Result<Parameters> ParameterOptions::resolve(const Model& model) const {
  Parameters parameters;
  MINKE_ASSIGN(const SamplingDefaults defaults, sampling_defaults(model.file()));
  parameters.use_defaults(defaults);
  for (const auto& [name, text] : said_) MINKE_TRY(parameters.set(name, text));
  MINKE_TRY(parameters.sampling(model.tokenizer()));
  return parameters;
}

void PromptOptions::add_to(CommandLine& line) {
  CLI::App& app = line.app();
  app.option_defaults()->group("Prompt");
  app.add_option_function<std::string>(
         "-p,--prompt", [this](const std::string& text) { prompt = text; },
         "The prompt; - reads it from the standard input; an empty one is an error")
      ->check(problem_with_text)
      ->type_name("TEXT");
  app.add_option_function<std::string>(
         "-f,--file", [this](const std::string& path) { prompt_file = path; },
         "Read the prompt from a file")
      ->type_name("FILE");
  line.alias("-sys", app.add_option("--system-prompt", system,
                                    "What the conversation starts from; empty: nothing")
                         ->check(problem_with_text)
                         ->type_name("TEXT"));
  app.add_option("--chat-template", template_name,
                 "How a conversation is written, in place of the file's own template: deepseek2 "
                 "(or a), deepseek2-0628 (b), deepseek2.5 (c)")
      ->type_name("NAME");
  app.add_option("--chat-template-file", template_file, "The same, as a Jinja text in a file")
      ->type_name("FILE");
  app.add_flag("--verbose-prompt", verbose_prompt,
               "Print every prompt's tokens to the standard error");
}

Result<std::optional<std::string>> PromptOptions::text() const {
  if (prompt && prompt_file) return usage("give -p or -f, not both");
  if (!prompt && !prompt_file) return std::nullopt;
  Result<std::string> text = prompt.value_or("");
  if (prompt_file) text = read_text_file(*prompt_file);
  if (prompt == "-") text = read_stdin();
  if (text && text->empty()) return usage("the prompt is empty");
  return text;
}

Result<ChatTemplate> PromptOptions::chat_template(const Model& model) const {
  MINKE_ASSIGN(const ChatTemplate chosen, find_chat_template(model));
  MINKE_TRY(chosen.check_vocabulary(model.tokenizer()));
  return chosen;
}

Result<ChatTemplate> PromptOptions::find_chat_template(const Model& model) const {
  if (!template_name.empty() && !template_file.empty())
    return usage("give --chat-template or --chat-template-file, not both");
  if (!template_name.empty()) return ChatTemplate::from_name(template_name);
  if (template_file.empty()) return ChatTemplate::from_gguf(model.file());
  MINKE_ASSIGN(const std::string jinja, read_text_file(template_file));
  auto known = ChatTemplate::from_jinja(jinja);
  if (!known)
    return fail(known.error().code, "{}: {}", printable_path(template_file), known.error().message);
  return known;
}

}  // namespace minke::apps
