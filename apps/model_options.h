// The groups of options that chat, run and bench share, and what they lead to.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "apps/cli.h"
#include "apps/parameters.h"
#include "models/chat_template.h"
#include "models/engine.h"

namespace minke::apps {

/// Which model, and what to run it with.
struct ModelOptions {
  std::filesystem::path model;
  int n_ctx = 0;      ///< 0: the model's, as memory allows.
  int n_threads = 0;  ///< 0: one a core.
  int n_batch = 512;
  int n_ubatch = 0;  ///< 0: n_batch.
  CacheType cache_type = kDefaultCacheType;
  bool mlock = false;  ///< Keep the file in memory.

  /// Adds -m, -c, -t, -b, -ub, -ctk and --mlock. `this` outlives the parsing, here and below.
  void add_to(CommandLine& line);
  /// Tokens of one step at most: the smaller of -b and -ub.
  int batch_tokens() const noexcept;
};

/// "f32, f16, ..." for help texts.
std::string cache_type_names();
/// Empty if the cache has that type, else what is wrong: for CLI11's check().
std::string problem_with_cache_type(const std::string& name);

/// A model that is ready to answer.
struct LoadedModel {
  std::unique_ptr<Model> model;
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Engine> engine;

  /// "DeepSeek-V2-Lite-Chat, 15.7 B parameters, 10.4 GB"
  std::string describe() const;
};

/// To be called before a model runs, when what is quick to check is known to be right: what of its
/// file is not in memory is read (GgufFile::page_in), and the progress shown on a terminal; with
/// mlock it is kept there. Errors: kIo, kMemory.
Status read_into_memory(const Model& model, bool mlock);

/// Warns of a context longer than the model's. Errors: those of Model::open, make_cpu_backend and
/// Engine::create.
Result<LoadedModel> load_model(const ModelOptions& options);

/// A line on the standard error if the model was trained for a shorter context, YaRN included.
void warn_of_long_context(const Model& model, int n_ctx);

/// The name that the file gives itself, or the file's.
std::string model_name(const Model& model);

/// Values (weights) of all tensors, and the bytes they take.
std::pair<uint64_t, uint64_t> count_parameters(const Model& model);

/// What the user said of the making of answers.
class ParameterOptions {
 public:
  /// Adds -n, -s, --temp and the others of parameter_table(); values out of range are usage errors.
  void add_to(CommandLine& line);
  /// The model's own values, with the user's in their place. Errors: kUsage, kContent.
  Result<Parameters> resolve(const Model& model) const;

 private:
  std::vector<std::pair<std::string_view, std::string>> said_;
};

/// What the conversation begins with.
struct PromptOptions {
  std::optional<std::string> prompt, prompt_file;
  std::string system;  ///< Empty: none.
  std::string template_name, template_file;
  bool verbose_prompt = false;

  /// Adds -p, -f, -sys, --chat-template, --chat-template-file and --verbose-prompt.
  void add_to(CommandLine& line);
  /// The text of -p or -f, "-" being the standard input; nullopt without either. Errors: kMissing,
  /// kIo, kContent (no UTF-8), kUsage (both, or an empty text).
  Result<std::optional<std::string>> text() const;
  /// By the user's choice, else the file's own; the vocabulary has its markers. Errors: those of
  /// ChatTemplate, kMissing, kIo.
  Result<ChatTemplate> chat_template(const Model& model) const;
  Result<ChatTemplate> find_chat_template(const Model& model) const;
  bool names_template() const { return !template_name.empty() || !template_file.empty(); }
};

}  // namespace minke::apps
