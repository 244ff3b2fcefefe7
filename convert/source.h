// Where a conversion's weights and metadata come from: a Hugging Face checkpoint, or a GGUF file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "convert/tensor_plan.h"
#include "runtime/gguf_writer.h"
#include "runtime/input_file.h"
#include "runtime/result.h"
#include "runtime/sha256.h"

namespace minke::convert {

/// The SHA-256 that a source says a tensor's bytes have.
struct StoredHash {
  const InputFile* file;
  uint64_t begin;
  uint64_t n_bytes;  ///< More than zero.
  Sha256Digest digest;
  std::string_view name;  ///< Of the tensor.
};

/// A checked source: everything but the tensors' data is read.
struct Source {
  std::filesystem::path path;
  int64_t n_layers = 0;
  std::vector<PlannedTensor> tensors;              ///< In the order in which they are written.
  std::vector<const InputFile*> files;             ///< Those that hold the tensors.
  std::vector<StoredHash> stored_hashes;           ///< By file and begin; none overlap.
  std::vector<std::filesystem::path> other_files;  ///< What is read too, where it is there.
  std::optional<uint32_t> file_type;               ///< general.file_type, if the source says one.
  std::vector<std::string> warnings;               ///< Of what it lacks, a line each.
  /// Sets every key but general.file_type.
  std::function<void(GgufWriter&)> write_metadata;
  std::shared_ptr<const void> storage;  ///< What all the above points into.

  /// Bytes of all tensors as they are read; scales not counted.
  uint64_t tensor_bytes() const;
  /// Error kIo if a file changed since it was opened.
  Status check_unchanged() const;
};

/// A directory with config.json, tokenizer.json and safetensors. The tensors' dtypes are F32.
/// Errors: kMissing, kUsage, kIo, kContent, kUnsupported.
Result<Source> open_checkpoint(const std::filesystem::path& dir);

/// What must be known of the model in a GGUF file; models/deepseek2/config.h reads it.
struct GgufModel {
  int64_t n_layers = 0;
  int64_t n_heads = 0;
  int64_t kv_lora_rank = 0;
  int64_t qk_nope_dim = 0;
  int64_t qk_rope_dim = 0;
  int64_t v_dim = 0;
  /// Set where the file lacks the keys of routing in groups and needs them: they are written.
  int64_t n_groups_to_add = 0;
  int64_t n_groups_used_to_add = 0;
};

/// A GGUF file, or all parts of a split one. The tensors' dtypes are those of the file. Where it
/// has attn_kv_b (files before April 2025), attn_k_b and attn_v_b take its place: the keys, which
/// are transposed, F16 where they were quantized. All metadata is kept, but for what describes the
/// layout. Hashes of the tensors are stored_hashes. Errors: kMissing, kIo, kUnsupported, kContent,
/// kShape.
Result<Source> open_gguf(const std::filesystem::path& path, const GgufModel& model);

}  // namespace minke::convert
