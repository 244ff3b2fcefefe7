// Byte-pair encoding: the pair of neighbours with the lowest rank is merged until none is left.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "models/vocabulary.h"
#include "runtime/gguf_reader.h"
#include "runtime/result.h"

namespace minke {

/// The merges: (left, right) -> rank and merged token. An open-addressed table, as a lookup misses
/// far more often than it hits and is the innermost step of encoding.
class MergeTable {
 public:
  struct Merge {
    uint32_t rank = kNone;
    TokenId merged = -1;
  };
  static constexpr uint32_t kNone = UINT32_MAX;

  explicit MergeTable(size_t n_merges);
  /// Keeps the first of equal pairs.
  void insert(TokenId left, TokenId right, Merge merge);
  /// rank == kNone if the pair does not merge.
  Merge find(TokenId left, TokenId right) const noexcept;

 private:
  struct Slot {
    uint64_t key = kEmpty;
    Merge merge;
  };
  static constexpr uint64_t kEmpty = UINT64_MAX;
  size_t start(uint64_t key) const noexcept {
    return static_cast<size_t>((key * 0x9E3779B97F4A7C15u) >> shift_);
  }

  int shift_;
  std::vector<Slot> slots_;  ///< A power of two, at most half full.
};

/// Immutable and safe to share between threads.
class Bpe {
 public:
  /// Reads tokenizer.ggml.merges ("left right", lowest rank first). `vocabulary` outlives this.
  /// Errors: kContent.
  static Result<Bpe> from_gguf(const GgufFile& file, const Vocabulary& vocabulary);

  /// Appends the tokens of one word, whose bytes all have a token. O(n log n) in its length.
  void encode(std::string_view word, std::vector<TokenId>& out) const;

 private:
  Bpe(const Vocabulary& vocabulary, MergeTable merges)
      : vocabulary_(&vocabulary), merges_(std::move(merges)) {}
  void encode_short(std::string_view word, std::vector<TokenId>& out) const;
  void encode_long(std::string_view word, std::vector<TokenId>& out) const;

  const Vocabulary* vocabulary_;
  MergeTable merges_;
};

}  // namespace minke
