// `minke quantize IN.gguf -o OUT.gguf --type T`: from one GGUF file to another.
#include <memory>
#include <utility>

#include "apps/cli.h"
#include "apps/write_model.h"
#include "convert/source.h"
#include "models/deepseek2/config.h"
#include "models/deepseek2/weights.h"
#include "runtime/gguf_reader.h"

namespace minke::apps {
namespace {

/// What runs is what is quantized: configuration and shapes are checked as for running.
Result<convert::GgufModel> read_model(const std::filesystem::path& path) {
  MINKE_ASSIGN(const GgufFile file, GgufFile::open(path));
  MINKE_ASSIGN(const deepseek2::Config config, deepseek2::read_config(file));
  MINKE_TRY(deepseek2::check_weights(file, config));
  convert::GgufModel model;
  model.n_layers = config.n_layers;
  model.n_heads = config.n_heads;
  model.kv_lora_rank = config.kv_lora_rank;
  model.qk_nope_dim = config.qk_nope_dim;
  model.qk_rope_dim = config.qk_rope_dim;
  model.v_dim = config.v_dim;
  if (config.expert_groups_guessed) {
    model.n_groups_to_add = config.n_expert_groups;
    model.n_groups_used_to_add = config.n_expert_groups_used;
    print_note(
        fmt::format("{}: no groups of experts in the file; known of this model, and added: "
                    "{}, of which {} are used",
                    printable_path(path), config.n_expert_groups, config.n_expert_groups_used));
  }
  return model;
}

Status run_quantize(const WriteOptions& options) {
  if (options.input.empty()) return usage("no model: give a FILE (see minke quantize --help)");
  MINKE_ASSIGN(const convert::TypeChoices choices, check_write_options(options, true));
  MINKE_ASSIGN(const convert::GgufModel model, read_model(options.input));
  MINKE_ASSIGN(convert::Source source, convert::open_gguf(options.input, model));
  if (options.ignore_hashes) source.stored_hashes.clear();
  return write_model(options, std::move(source), choices);
}

}  // namespace

Action setup_quantize(CommandLine& line) {
  const auto options = std::make_shared<WriteOptions>();
  CLI::App& app = line.app();
  app.add_option("model", options->input,
                 "The model: a GGUF file, or any part of one that is split; --type COPY keeps its "
                 "types")
      ->type_name("FILE");
  add_write_options(app, *options);
  app.add_flag("--allow-requantize", options->allow_requantize,
               "Quantize weights that are quantized already; their errors add up");
  app.add_flag("--ignore-hashes", options->ignore_hashes,
               "Take data that are not what the file's own SHA-256 say: another program changed "
               "them on purpose");
  return [options] { return run_quantize(*options); };
}

}  // namespace minke::apps
