#include "convert/pieces.h"

#include <algorithm>
#include <array>
#include <limits>
#include <string>

#include "convert/weighting.h"
#include "quant/half.h"
#include "runtime/utf8.h"

namespace minke::convert {
namespace {

/// Values of a piece; a single row or a transposed slab may have more. Small enough for a core's
/// own cache, large enough that handing it on costs nothing.
constexpr int64_t kPieceValues = int64_t{1} << 17;

/// Rows of the slab's next piece, where `n_left` are left.
int64_t rows_at_once(const Slab& slab, int64_t n_left) noexcept {
  if (slab.transposed) return n_left;
  return std::min(n_left, std::max<int64_t>(1, kPieceValues / slab.source.weights.shape.cols()));
}

/// Multiplies FP8 weights by the scales of their blocks.
void apply_scales(const Piece& piece, const std::vector<float>& scales,
                  std::vector<float>& weights) noexcept {
  const SourceMatrix& source = piece.slab->source;
  const int64_t cols = piece.cols();
  const int64_t blocks_a_row = (cols + source.block_cols - 1) / source.block_cols;
  const int64_t first_block = piece.first_row / source.block_rows;
  for (int64_t row = 0; row < piece.n_rows; ++row) {
    const int64_t block_row = (piece.first_row + row) / source.block_rows - first_block;
    float* values = weights.data() + row * cols;
    for (int64_t block = 0; block < blocks_a_row; ++block) {
      const float scale = scales[static_cast<size_t>(block_row * blocks_a_row + block)];
      const int64_t end = std::min(cols, (block + 1) * source.block_cols);
      for (int64_t col = block * source.block_cols; col < end; ++col) values[col] *= scale;
    }
  }
}

Status read_scales(const Piece& piece, PieceBytes& bytes) {
  const SourceMatrix& source = piece.slab->source;
  const SourceTensor& scales = *source.scales;
  const int64_t blocks_a_row = (piece.cols() + source.block_cols - 1) / source.block_cols;
  const int64_t first_block = piece.first_row / source.block_rows;
  const int64_t last_block = (piece.first_row + piece.n_rows - 1) / source.block_rows;
  const int64_t n = (last_block - first_block + 1) * blocks_a_row;
  std::vector<std::byte> encoded(scales.format.bytes(n));
  MINKE_TRY(scales.file->read_at(scales.begin + scales.format.bytes(first_block * blocks_a_row),
                                 encoded));
  bytes.scales.resize(static_cast<size_t>(n));
  scales.format.decode(encoded.data(), bytes.scales.data(), bytes.scales.size());
  return {};
}

/// "FILE: tensor 'x': 1 at index 2 (row 0, column 2)", of a value as it is in the source.
std::string place_text(const Piece& piece, float value, size_t at) {
  const SourceTensor& source = piece.slab->source.weights;
  const int64_t index = piece.first_row * piece.cols() + static_cast<int64_t>(at);
  return fmt::format("{}: tensor '{}': {} at index {} (row {}, column {})",
                     printable_path(source.file->path()), printable(source.name), value, index,
                     index / piece.cols(), index % piece.cols());
}

Status check_finite(const Piece& piece, const std::vector<float>& values) {
  const auto bad = find_non_finite(values);
  if (!bad) return {};
  return fail(Errc::kContent, "{}", place_text(piece, values[*bad], *bad));
}

/// The largest magnitude that may become a value of this type: F16's, also where only the scales of
/// blocks are F16. Their codes take some types further, but no model's weights.
float largest_value(DType dtype) noexcept {
  static constexpr std::array kWide = {DType::kF32, DType::kBF16, DType::kF8_E4M3, DType::kMXFP4};
  const bool is_wide = std::ranges::find(kWide, dtype) != kWide.end();
  return is_wide ? std::numeric_limits<float>::max() : kF16Max;
}

/// Of values as they are encoded.
Status check_room(const Piece& piece, const std::vector<float>& values) {
  const DType dtype = piece.tensor->desc.dtype;
  const auto bad = find_beyond(values, largest_value(dtype));
  if (!bad) return {};
  const auto n_rows = static_cast<size_t>(piece.n_rows), cols = static_cast<size_t>(piece.cols());
  const size_t at = piece.slab->transposed ? *bad % n_rows * cols + *bad / n_rows : *bad;
  return fail(Errc::kContent,
              "{}: {} is not for values beyond {} (--tensor-type gives '{}' another)",
              place_text(piece, values[*bad], at), dtype_name(dtype), largest_value(dtype),
              printable(piece.tensor->name));
}

/// values (rows, cols) to (cols, rows).
void transpose(const std::vector<float>& values, int64_t rows, int64_t cols,
               std::vector<float>& turned) {
  turned.resize(values.size());
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t col = 0; col < cols; ++col) {
      turned[static_cast<size_t>(col * rows + row)] = values[static_cast<size_t>(row * cols + col)];
    }
  }
}

}  // namespace

std::optional<Piece> PieceSequence::next() {
  if (tensor_ == tensors_.size()) return std::nullopt;
  const PlannedTensor& tensor = tensors_[tensor_];
  const Slab& slab = tensor.slabs[slab_];
  const int64_t n_rows = rows_at_once(slab, slab.n_rows - row_);
  const Piece piece{&tensor, &slab, slab.first_row + row_, n_rows};
  row_ += n_rows;
  if (row_ == slab.n_rows) {
    row_ = 0;
    ++slab_;
  }
  if (slab_ == tensor.slabs.size()) {
    slab_ = 0;
    ++tensor_;
  }
  return piece;
}

uint64_t source_bytes(const PlannedTensor& tensor) {
  uint64_t bytes = 0;
  for (const Slab& slab : tensor.slabs) {
    bytes += Piece{&tensor, &slab, slab.first_row, slab.n_rows}.source_bytes();
  }
  return bytes;
}

PieceLimits piece_limits(std::span<const PlannedTensor> tensors) {
  PieceLimits limits;
  for (const PlannedTensor& tensor : tensors) {
    for (const Slab& slab : tensor.slabs) {
      const Piece piece{&tensor, &slab, slab.first_row, rows_at_once(slab, slab.n_rows)};
      limits.source_bytes = std::max(limits.source_bytes, piece.source_bytes());
      limits.out_bytes = std::max(limits.out_bytes, piece.out_bytes());
      limits.n_values = std::max(limits.n_values, static_cast<size_t>(piece.n_values()));
    }
  }
  return limits;
}

Status read_piece(const Piece& piece, PieceBytes& bytes) {
  const SourceTensor& source = piece.slab->source.weights;
  bytes.weights.resize(piece.source_bytes());
  const uint64_t begin = source.begin + source.format.bytes(piece.first_row * piece.cols());
  MINKE_TRY(source.file->read_at(begin, bytes.weights));
  return piece.slab->source.scales ? read_scales(piece, bytes) : Status{};
}

Status decode_piece(const Piece& piece, const PieceBytes& bytes, PieceScratch& scratch) {
  const SourceFormat& source = piece.slab->source.weights.format;
  const auto n = static_cast<size_t>(piece.n_values());
  scratch.values.resize(n);
  source.decode(bytes.weights.data(), scratch.values.data(), n / source.block_len);
  if (piece.slab->source.scales) apply_scales(piece, bytes.scales, scratch.values);
  MINKE_TRY(check_finite(piece, scratch.values));
  if (piece.slab->transposed) {
    transpose(scratch.values, piece.n_rows, piece.cols(), scratch.turned);
    scratch.values.swap(scratch.turned);
  }
  return {};
}

Status encode_piece(const Piece& piece, const PieceBytes& bytes, PieceScratch& scratch,
                    std::vector<std::byte>& out) {
  const FormatTraits& format = *find_format(piece.tensor->desc.dtype);
  MINKE_TRY(decode_piece(piece, bytes, scratch));
  out.resize(piece.out_bytes());
  if (is_copy(*piece.slab, format.dtype)) {
    std::ranges::copy(bytes.weights, out.begin());
    return {};
  }
  MINKE_TRY(check_room(piece, scratch.values));
  const float* weights = nullptr;
  if (format.block_len > 1) {
    weigh_errors(piece, scratch.values, scratch.weights);
    weights = scratch.weights.data();
  }
  format.encode(scratch.values.data(), weights, out.data(),
                scratch.values.size() / format.block_len);
  return {};
}

}  // namespace minke::convert
