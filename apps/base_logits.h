// What one model thought of every scored token of a text, kept in a file so that other models can
// be compared with it. The layout is llama.cpp's ("--kl-divergence-base"): either program reads the
// other's files.
//
//   "_logits_", n_ctx u32, n_vocab i32, n_chunks i32
//   the tokens (n_chunks, n_ctx) i32
//   for each of the (n_chunks, n_scored) predictions: scale f32, lowest f32, codes u16 (n_vocab,
//   rounded up to even); log p = lowest + scale * code. What is more than 16 below the largest log
//   p becomes 16 below it.
//
// Minke adds 16 bytes at the end, which llama.cpp does not read: "MinkeSum" and XXH3 of all before.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>

#include "models/chunks.h"
#include "runtime/atomic_file.h"
#include "runtime/mmap.h"
#include "runtime/result.h"

namespace minke::apps {

/// The log probabilities of one prediction, as stored.
struct BaseRow {
  float scale = 0;
  float lowest = 0;
  std::span<const uint16_t> codes;  ///< (n_vocab)

  float log_p(size_t token) const noexcept {
    return lowest + scale * static_cast<float>(codes[token]);
  }
};

class BaseLogitsWriter {
 public:
  /// Errors: those of AtomicFile; kUsage if there is a file already: a forgotten --kl-divergence
  /// must not cost the base.
  static Result<BaseLogitsWriter> create(const std::filesystem::path& path, const ChunkedText& text,
                                         int n_vocab);
  BaseLogitsWriter(BaseLogitsWriter&&) noexcept;
  BaseLogitsWriter& operator=(BaseLogitsWriter&&) noexcept;
  ~BaseLogitsWriter();

  /// Encodes one row's logits, in f64 where it counts.
  std::vector<std::byte> encode(std::span<const float> logits, double log_sum_exp) const;
  /// Rows in the order of the file.
  Status append(std::span<const std::byte> rows);
  /// Makes the file appear.
  Status finish();

 private:
  struct Impl;
  explicit BaseLogitsWriter(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

class BaseLogits {
 public:
  /// Checks the file as a whole: lengths, tokens, and the sum of its bytes where there is one.
  /// Errors: kMissing, kIo, kContent, kShape (another vocabulary).
  static Result<BaseLogits> open(const std::filesystem::path& path, int n_vocab);

  const ChunkedText& text() const noexcept { return text_; }
  /// Errors: kContent if the row's probabilities do not add up to about 1.
  Result<BaseRow> row(int chunk, int index) const;

 private:
  explicit BaseLogits(MappedFile file) : file_(std::move(file)) {}
  Status read_header(int n_vocab);
  Status check_sum(size_t n_bytes) const;

  MappedFile file_;
  ChunkedText text_;
  size_t n_vocab_ = 0, rows_begin_ = 0;
};

}  // namespace minke::apps
