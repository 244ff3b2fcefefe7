// What the commands that read a long text in chunks have in common.
#pragma once

#include <string>

#include "apps/model_options.h"
#include "models/chunks.h"

namespace minke::apps {

struct ChunkOptions {
  ModelOptions model{.model = {}, .n_ctx = 512, .n_batch = 2048};
  std::string file;  ///< The text; "-" is the standard input.
  int max_chunks = -1;

  /// Adds those of ModelOptions and, in a group of the command's own, -f and --chunks.
  void add_to(CommandLine& line, const std::string& group);
  /// Tokens of a chunk: -c, or for 0 what the model was trained for.
  int chunk_tokens(const Model& model) const noexcept;
  /// The text in chunks of n_ctx tokens. Errors: kMissing, kIo, kContent, those of cut_into_chunks.
  Result<ChunkedText> read_text(const Model& model, int n_ctx) const;
  /// Reads `text` with -b and -ctk. Errors: those of ChunkRunner::create.
  Result<ChunkRunner> make_runner(const Model& model, Backend& backend,
                                  const ChunkedText& text) const;
};

}  // namespace minke::apps
