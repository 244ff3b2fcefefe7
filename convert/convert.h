// From a source of weights to one GGUF file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "convert/imatrix.h"
#include "convert/journal.h"
#include "convert/pipeline.h"
#include "convert/source.h"
#include "convert/tensor_plan.h"
#include "convert/type_choices.h"
#include "runtime/gguf_writer.h"
#include "runtime/result.h"
#include "runtime/sha256.h"

namespace minke::convert {

/// How far a conversion is. Bytes are those of the source.
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

/// A checked source and the plan of its file.
class Conversion {
 public:
  static constexpr int kMaxThreads = 512;

  /// Chooses every tensor's type. With an importance matrix errors count by what comes into each
  /// column. A size budget needs one with sensitivities, and reads samples of the source. Errors:
  /// kUnsupported (weights would be quantized a second time), kShape (the matrix is another
  /// model's), kUsage (the budget is too small; no sensitivities; a type that needs_importance()
  /// without a matrix), kIo, kContent.
  static Result<Conversion> prepare(Source source, const TypeChoices& choices,
                                    std::shared_ptr<const ImportanceMatrix> importance = nullptr);
  /// The same for a Hugging Face checkpoint; `recipe` lives on. Errors: see open_checkpoint.
  static Result<Conversion> prepare(const std::filesystem::path& checkpoint, const Recipe& recipe);

  const Source& source() const noexcept { return source_; }
  const std::vector<PlannedTensor>& tensors() const noexcept { return source_.tensors; }
  /// Sum of the tensors' bytes in the file.
  uint64_t tensor_bytes() const;
  /// Tensors that are quantized without knowing their importance, though there is a matrix;
  /// embeddings need none.
  int n_without_importance() const;

  /// Threads and memory of run(). Errors: kMemory (a row has no room in it).
  Result<PipelineShape> plan_memory(int n_threads) const;
  /// What becomes of what an earlier run that was cut off has written.
  enum class Start { kAnew, kResume };
  using Existing = AtomicFile::Existing;

  /// Writes the file, by way of PATH.partial. The result is the same to the bit whatever n_threads
  /// (1 to kMaxThreads), and whether it was resumed. Memory stays below 1 GiB whatever the source's
  /// size. Where writing failed or was cancelled after a tensor was complete, PATH.partial and
  /// PATH.partial.journal stay for kResume; after any other error neither stays. Errors: kIo,
  /// kContent (a value that is none or has no room in its type, data that are not what the source's
  /// hashes say), kMemory, kCancelled, kUsage (resuming another job; a file
  /// that appeared at PATH and is not to be replaced).
  Status run(const std::filesystem::path& output, int n_threads, const ProgressCallback& progress,
             Start start = Start::kAnew, Existing existing = Existing::kReplace) const;

 private:
  explicit Conversion(Source source) : source_(std::move(source)) {}
  Status use_importance(std::shared_ptr<const ImportanceMatrix> importance);
  Status choose_types(const TypeChoices& choices);
  /// Of the tensors at these places.
  Status fit_to_size(const SizeBudget& budget, std::span<const size_t> places);
  void write_importance(GgufWriter& writer) const;
  Sha256Digest job_digest(const GgufWriter& writer) const;
  /// From the first tensor that is not in the file yet.
  Status write_tensors(size_t first, const PipelineShape& shape, const ProgressCallback& progress,
                       GgufWriter& writer, Journal& journal) const;

  Source source_;
  std::optional<uint32_t> file_type_;
  std::shared_ptr<const ImportanceMatrix> importance_;  ///< Null: none.
};

}  // namespace minke::convert
