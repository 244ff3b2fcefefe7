#include "models/model.h"

#include "models/deepseek2/weights.h"
#include "runtime/input_file.h"

namespace minke {

Model::Model(GgufFile file, deepseek2::Config config, std::unique_ptr<deepseek2::Weights> weights,
             Tokenizer tokenizer)
    : file_(std::move(file)),
      config_(config),
      weights_(std::move(weights)),
      tokenizer_(std::move(tokenizer)) {}

Model::~Model() = default;

Result<std::unique_ptr<Model>> Model::open(const std::filesystem::path& path) {
  MINKE_ASSIGN(GgufFile file, GgufFile::open(path));
  MINKE_ASSIGN(const deepseek2::Config config, deepseek2::read_config(file));
  MINKE_ASSIGN(deepseek2::Weights weights, deepseek2::load_weights(file, config));
  MINKE_ASSIGN(Tokenizer tokenizer, Tokenizer::from_gguf(file));
  if (tokenizer.vocab_size() != config.n_vocab)
    return fail(Errc::kContent,
                "{}: key 'tokenizer.ggml.tokens': wrong length (got {}, allowed {})",
                printable_path(path), tokenizer.vocab_size(), config.n_vocab);
  return std::unique_ptr<Model>(new Model(std::move(file), config,
                                          std::make_unique<deepseek2::Weights>(std::move(weights)),
                                          std::move(tokenizer)));
}

}  // namespace minke
