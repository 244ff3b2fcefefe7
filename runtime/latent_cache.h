// The paged latent cache: what multi-head latent attention remembers of every token.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "runtime/backend.h"
#include "runtime/cache_row.h"
#include "runtime/result.h"
#include "runtime/step.h"

namespace minke {

/// Memory in blocks of 64 tokens for all layers, shared by sequences through reference counts. A
/// block that two sequences share is copied when one of them writes into it. Layout:
/// (n_layers, n_blocks, 64) rows as CacheRow has them. Not thread-safe, except that rows may be
/// read and different rows written at the same time.
class LatentCache {
 public:
  static constexpr int kBlockTokens = 64;

  struct Config {
    int n_layers = 0;
    int n_latent = 0;   ///< kv_lora_rank
    int n_rotated = 0;  ///< Values of the rotated key.
    CacheType type = kDefaultCacheType;
    int n_blocks = 0;
  };
  /// Handle of a sequence; valid until release().
  using Sequence = int;

  /// Errors: kMemory.
  static Result<std::unique_ptr<LatentCache>> create(const Config& config, Backend& backend);
  /// Bytes of a cache of n_tokens, rounded up to blocks.
  static size_t bytes_for(const Config& config, int64_t n_tokens) noexcept;

  Sequence add_sequence();
  void release(Sequence sequence);
  /// A new sequence that shares the first n_tokens of `source`.
  Sequence fork(Sequence source, int n_tokens);
  void truncate(Sequence sequence, int n_tokens);
  int length(Sequence sequence) const noexcept;
  /// Sum of the lengths of all sequences.
  int total_length() const noexcept;

  /// Makes room for n_tokens more and gives where they will lie; the length grows. Errors: kMemory
  /// if no block is free: nothing has changed then.
  Result<SequenceSlice> extend(Sequence sequence, int n_tokens);

  int free_blocks() const noexcept { return static_cast<int>(free_.size()); }
  const Config& config() const noexcept { return config_; }
  const CacheRow& row_layout() const noexcept { return row_; }

  /// The bytes of one row.
  std::byte* row(int layer, int32_t block, int offset) noexcept {
    return data_ +
           (static_cast<size_t>(layer) * static_cast<size_t>(config_.n_blocks) +
            static_cast<size_t>(block)) *
               block_bytes_ +
           static_cast<size_t>(offset) * row_.n_bytes();
  }
  std::byte* row_at(int layer, const SequenceSlice& slice, int position) noexcept {
    return row(layer, slice.blocks[static_cast<size_t>(position / kBlockTokens)],
               position % kBlockTokens);
  }
  /// Encodes and decodes the row at a position; values (row_layout().n_values()).
  void write_row(int layer, const SequenceSlice& slice, int position,
                 const float* values) noexcept {
    row_.encode(values, row_at(layer, slice, position));
  }
  void read_row(int layer, const SequenceSlice& slice, int position, float* values) noexcept {
    row_.decode(row_at(layer, slice, position), values);
  }

 private:
  struct SequenceState {
    std::vector<int32_t> blocks;
    int length = 0;
    bool used = false;
  };

  explicit LatentCache(const Config& config);
  SequenceState& state(Sequence sequence) noexcept;
  void drop_block(int32_t block);
  int32_t take_block();
  void copy_block(int32_t from, int32_t to) noexcept;

  Config config_;
  CacheRow row_;
  size_t block_bytes_ = 0;
  std::unique_ptr<Buffer> buffer_;
  std::byte* data_ = nullptr;
  std::vector<int> references_;  ///< a block
  std::vector<int32_t> free_;
  std::vector<SequenceState> sequences_;
};

}  // namespace minke
