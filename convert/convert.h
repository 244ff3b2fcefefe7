// From a Hugging Face checkpoint to one GGUF file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "convert/checkpoint.h"
#include "convert/hf_config.h"
#include "convert/hf_tokenizer.h"
#include "convert/recipe.h"
#include "convert/tensor_plan.h"
#include "runtime/result.h"

namespace minke::convert {

/// How far a conversion is. Bytes are those of the checkpoint.
struct Progress {
  uint64_t bytes_done = 0;
  uint64_t bytes_total = 0;
  double seconds = 0;       ///< Since the start.
  std::string_view tensor;  ///< The one at hand, by its GGUF name.

  double bytes_per_second() const noexcept {
    return seconds > 0 ? static_cast<double>(bytes_done) / seconds : 0;
  }
  double seconds_left() const noexcept {
    return bytes_done == 0 ? 0
                           : seconds * static_cast<double>(bytes_total - bytes_done) /
                                 static_cast<double>(bytes_done);
  }
};

/// Called from the thread that runs the conversion, often; false stops it (kCancelled).
using ProgressCallback = std::function<bool(const Progress&)>;

/// A checked checkpoint and the plan of its file.
class Conversion {
 public:
  static constexpr int kMaxThreads = 512;

  /// Reads everything but the tensors' data. `recipe` lives on. Errors: kMissing, kUsage, kIo,
  /// kContent, kUnsupported.
  static Result<Conversion> prepare(const std::filesystem::path& checkpoint, const Recipe& recipe);

  const HfConfig& config() const noexcept { return config_; }
  const Checkpoint& checkpoint() const noexcept { return checkpoint_; }
  const std::vector<PlannedTensor>& tensors() const noexcept { return tensors_; }
  /// Sum of the tensors' bytes in the file.
  uint64_t tensor_bytes() const;

  /// Writes the file, by way of PATH.partial, which is removed on an error. The result is the same
  /// to the bit whatever n_threads (1 to kMaxThreads). Memory stays below 1 GiB whatever the
  /// checkpoint's size. Errors: kIo, kContent (a NaN or an infinity), kCancelled.
  Status run(const std::filesystem::path& output, int n_threads,
             const ProgressCallback& progress) const;

 private:
  Conversion(Checkpoint checkpoint, const Recipe& recipe)
      : checkpoint_(std::move(checkpoint)), recipe_(&recipe) {}

  Checkpoint checkpoint_;
  const Recipe* recipe_;
  HfConfig config_;
  HfGeneration generation_;
  HfTokenizer tokenizer_;
  std::vector<PlannedTensor> tensors_;
};

}  // namespace minke::convert
