// What is read, encoded and written at a time: some rows of a tensor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "convert/tensor_plan.h"
#include "runtime/result.h"

namespace minke::convert {

/// Rows of one slab. Their encoded form follows that of the piece before.
struct Piece {
  const PlannedTensor* tensor = nullptr;
  const Slab* slab = nullptr;
  int64_t first_row = 0;  ///< Of the source matrix.
  int64_t n_rows = 0;     ///< Of the source matrix.

  int64_t cols() const noexcept { return slab->source.weights.shape.cols(); }
  int64_t n_values() const noexcept { return n_rows * cols(); }
  size_t source_bytes() const noexcept { return slab->source.weights.format.bytes(n_values()); }
  size_t out_bytes() const noexcept {
    const FormatTraits& format = *find_format(tensor->desc.dtype);
    return static_cast<size_t>(n_values()) / format.block_len * format.block_bytes;
  }
};

/// The pieces of some tensors, in the order of the file. A transposed slab is one piece: each of
/// its output rows needs all of its source rows.
class PieceSequence {
 public:
  explicit PieceSequence(std::span<const PlannedTensor> tensors) : tensors_(tensors) {}
  std::optional<Piece> next();

 private:
  std::span<const PlannedTensor> tensors_;
  size_t tensor_ = 0;
  size_t slab_ = 0;
  int64_t row_ = 0;  ///< Of the slab.
};

/// Bytes of the source that a tensor reads, for progress; scales not counted.
uint64_t source_bytes(const PlannedTensor& tensor);

/// The most that any piece of some tensors has.
struct PieceLimits {
  size_t source_bytes = 0;
  size_t out_bytes = 0;
  size_t n_values = 0;
};
PieceLimits piece_limits(std::span<const PlannedTensor> tensors);

/// A piece as its source has it.
struct PieceBytes {
  std::vector<std::byte> weights;
  std::vector<float> scales;  ///< Of the blocks of rows that the piece touches.
};
/// Errors: kIo.
Status read_piece(const Piece& piece, PieceBytes& bytes);

/// Memory that encode_piece works in.
struct PieceScratch {
  std::vector<float> values;
  std::vector<float> turned;
  std::vector<float> weights;
};
/// Decodes and checks a piece: scratch.values are its rows as they are encoded. Errors: kContent
/// (a NaN or an infinity, with the source tensor's name and the place in it).
Status decode_piece(const Piece& piece, const PieceBytes& bytes, PieceScratch& scratch);

/// Decodes, checks and encodes; `out` is resized. Errors: those of decode_piece, and kContent for a
/// value that the tensor's type has no room for.
Status encode_piece(const Piece& piece, const PieceBytes& bytes, PieceScratch& scratch,
                    std::vector<std::byte>& out);

}  // namespace minke::convert
