// A checkpoint's tensors: one model.safetensors, or an index and its shards.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "convert/safetensors.h"
#include "runtime/result.h"

namespace minke::convert {

/// A tensor and the file that holds it; both live as long as the Checkpoint.
struct CheckpointTensor {
  const SafetensorsFile* file = nullptr;
  const SafeTensor* tensor = nullptr;
};

/// Every tensor of a directory, each in exactly one file; index and shards agree. Movable.
class Checkpoint {
 public:
  /// Errors: kMissing (directory, shard), kUsage (not a directory), kIo, kContent.
  static Result<Checkpoint> open(const std::filesystem::path& dir);

  const std::filesystem::path& dir() const noexcept { return dir_; }
  /// nullptr if there is none.
  const CheckpointTensor* find(std::string_view name) const;
  const std::unordered_map<std::string_view, CheckpointTensor>& tensors() const noexcept {
    return tensors_;
  }
  std::vector<const InputFile*> files() const;
  /// Sum of the tensors' bytes.
  uint64_t tensor_bytes() const noexcept { return tensor_bytes_; }

 private:
  explicit Checkpoint(std::filesystem::path dir) : dir_(std::move(dir)) {}
  Status open_indexed(std::string_view text);
  Status open_single();
  Status add_file(const std::string& name);

  std::filesystem::path dir_;
  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::unordered_map<std::string_view, CheckpointTensor> tensors_;
  uint64_t tensor_bytes_ = 0;
};

}  // namespace minke::convert
