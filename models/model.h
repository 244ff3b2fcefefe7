// One opened model file: configuration, weights by name, tokenizer. Nothing is copied.
#pragma once

#include <filesystem>
#include <memory>

#include "models/deepseek2/config.h"
#include "models/tokenizer.h"
#include "runtime/gguf_reader.h"
#include "runtime/result.h"

namespace minke {

namespace deepseek2 {
struct Weights;
}

class Model {
 public:
  /// Opens and checks the file and every tensor's shape against the configuration. Errors: those of
  /// GgufFile::open, kShape, kUnsupported.
  static Result<std::unique_ptr<Model>> open(const std::filesystem::path& path);
  ~Model();

  const GgufFile& file() const noexcept { return file_; }
  const deepseek2::Config& config() const noexcept { return config_; }
  const deepseek2::Weights& weights() const noexcept { return *weights_; }
  /// To run the model with other values; runners that exist already keep the old ones.
  deepseek2::Weights& weights() noexcept { return *weights_; }
  const Tokenizer& tokenizer() const noexcept { return tokenizer_; }

 private:
  Model(GgufFile file, deepseek2::Config config, std::unique_ptr<deepseek2::Weights> weights,
        Tokenizer tokenizer);
  GgufFile file_;
  deepseek2::Config config_;
  std::unique_ptr<deepseek2::Weights> weights_;
  Tokenizer tokenizer_;
};

}  // namespace minke
