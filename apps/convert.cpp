// `minke convert DIR -o FILE --type T`: from a Hugging Face checkpoint to a GGUF file.
#include <memory>
#include <utility>

#include "apps/cli.h"
#include "apps/write_model.h"
#include "convert/source.h"

namespace minke::apps {
namespace {

Status run_convert(const WriteOptions& options) {
  if (options.input.empty()) return usage("no checkpoint: give a DIR (see minke convert --help)");
  MINKE_ASSIGN(const convert::TypeChoices choices, check_write_options(options, false));
  MINKE_ASSIGN(convert::Source source, convert::open_checkpoint(options.input));
  return write_model(options, std::move(source), choices);
}

}  // namespace

Action setup_convert(CommandLine& line) {
  const auto options = std::make_shared<WriteOptions>();
  CLI::App& app = line.app();
  app.add_option("checkpoint", options->input,
                 "The checkpoint: a directory with config.json, tokenizer.json and safetensors")
      ->type_name("DIR");
  add_write_options(app, *options);
  return [options] { return run_convert(*options); };
}

}  // namespace minke::apps
