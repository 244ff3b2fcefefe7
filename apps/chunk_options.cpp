#include "apps/chunk_options.h"

#include "apps/text_input.h"

namespace minke::apps {

void ChunkOptions::add_to(CommandLine& line, const std::string& group) {
  model.add_to(line);
  CLI::App& app = line.app();
  app.option_defaults()->group(group);
  app.add_option("-f,--file", file, "The text to read; - is the standard input")->type_name("FILE");
  app.add_option("--chunks", max_chunks, "Use the first N chunks of -c tokens; -1: all of the text")
      ->check(CLI::Range(-1, 1 << 24))
      ->capture_default_str()
      ->type_name("N");
}

int ChunkOptions::chunk_tokens(const Model& loaded) const noexcept {
  return model.n_ctx > 0 ? model.n_ctx : loaded.config().n_ctx_train;
}

Result<ChunkedText> ChunkOptions::read_text(const Model& loaded, int n_ctx) const {
  MINKE_ASSIGN(const std::string text, file == "-" ? read_stdin() : read_text_file(file));
  return cut_into_chunks(loaded.tokenizer(), text, n_ctx, max_chunks);
}

Result<ChunkRunner> ChunkOptions::make_runner(const Model& loaded, Backend& backend,
                                              const ChunkedText& text) const {
  if (text.n_chunks() == 0) return usage("--chunks 0: nothing to measure");
  return ChunkRunner::create(loaded, backend, text, model.batch_tokens(), model.cache_type);
}

}  // namespace minke::apps
