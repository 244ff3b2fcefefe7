#include "convert/stream.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "convert/source_values.h"
#include "runtime/input_file.h"
#include "runtime/utf8.h"

namespace minke::convert {
namespace {

/// Values that one thread decodes at a time, and that wait to be written at a time; a single row or
/// a transposed slab may have more.
constexpr int64_t kPieceValues = int64_t{1} << 18;
constexpr int64_t kBatchValues = int64_t{1} << 24;

/// Rows of one slab, and where their encoded form goes in the batch's output.
struct Piece {
  const Slab* slab;
  int64_t first_row;  ///< Of the source matrix.
  int64_t n_rows;     ///< Of the source matrix.
  size_t out_begin;   ///< Bytes.
};

/// One thread's memory.
struct Scratch {
  std::vector<std::byte> bytes;
  std::vector<float> values;
  std::vector<float> turned;
  std::vector<float> scales;
};

int64_t cols_of(const Slab& slab) { return slab.source.weights.shape.cols(); }

/// Reads and decodes n values of a tensor from value `first`: whole blocks.
Status load_values(const SourceTensor& source, int64_t first, size_t n,
                   std::vector<std::byte>& bytes, std::vector<float>& values) {
  const SourceFormat& format = source.format;
  bytes.resize(format.bytes(static_cast<int64_t>(n)));
  values.resize(n);
  MINKE_TRY(source.file->read_at(source.begin + format.bytes(first), bytes));
  format.decode(bytes.data(), values.data(), n / format.block_len);
  return {};
}

/// Multiplies rows [first_row, ..) of FP8 weights by the scales of their blocks.
Status apply_scales(const SourceMatrix& source, int64_t first_row, int64_t n_rows, int64_t cols,
                    Scratch& scratch) {
  const int64_t blocks_a_row = (cols + source.block_cols - 1) / source.block_cols;
  const int64_t first_block = first_row / source.block_rows;
  const int64_t last_block = (first_row + n_rows - 1) / source.block_rows;
  MINKE_TRY(load_values(*source.scales, first_block * blocks_a_row,
                        static_cast<size_t>((last_block - first_block + 1) * blocks_a_row),
                        scratch.bytes, scratch.scales));
  for (int64_t row = 0; row < n_rows; ++row) {
    const int64_t block_row = (first_row + row) / source.block_rows - first_block;
    float* values = scratch.values.data() + row * cols;
    for (int64_t block = 0; block < blocks_a_row; ++block) {
      const float scale = scratch.scales[static_cast<size_t>(block_row * blocks_a_row + block)];
      const int64_t end = std::min(cols, (block + 1) * source.block_cols);
      for (int64_t col = block * source.block_cols; col < end; ++col) values[col] *= scale;
    }
  }
  return {};
}

Status check_finite(const Piece& piece, int64_t cols, const Scratch& scratch) {
  const auto bad = find_non_finite(scratch.values);
  if (!bad) return {};
  const SourceTensor& source = piece.slab->source.weights;
  const int64_t index = piece.first_row * cols + static_cast<int64_t>(*bad);
  return fail(Errc::kContent, "{}: tensor '{}': {} at index {} (row {}, column {})",
              printable_path(source.file->path()), printable(source.name), scratch.values[*bad],
              index, index / cols, index % cols);
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

Status convert_piece(const Piece& piece, const FormatTraits& format, Scratch& scratch,
                     std::byte* out) {
  const SourceMatrix& source = piece.slab->source;
  const int64_t cols = cols_of(*piece.slab);
  const auto n = static_cast<size_t>(piece.n_rows * cols);
  MINKE_TRY(load_values(source.weights, piece.first_row * cols, n, scratch.bytes, scratch.values));
  if (source.scales) {
    MINKE_TRY(apply_scales(source, piece.first_row, piece.n_rows, cols, scratch));
  }
  MINKE_TRY(check_finite(piece, cols, scratch));
  if (is_copy(*piece.slab, format.dtype)) {
    std::ranges::copy(scratch.bytes, out);
    return {};
  }
  if (piece.slab->transposed) {
    transpose(scratch.values, piece.n_rows, cols, scratch.turned);
    scratch.values.swap(scratch.turned);
  }
  format.encode(scratch.values.data(), nullptr, out, n / format.block_len);
  return {};
}

/// Runs every piece; of several errors the first piece's wins, so that it does not depend on the
/// threads.
Status convert_pieces(const std::vector<Piece>& pieces, const FormatTraits& format, int n_threads,
                      std::vector<Scratch>& scratch, std::vector<std::byte>& out) {
  std::atomic<size_t> next = 0;
  std::mutex mutex;
  size_t failed = pieces.size();
  std::optional<Error> error;
  const auto work = [&](Scratch& own) {
    for (size_t i = next++; i < pieces.size(); i = next++) {
      Status status = convert_piece(pieces[i], format, own, out.data() + pieces[i].out_begin);
      if (status) continue;
      const std::scoped_lock lock(mutex);
      if (i < failed) {
        failed = i;
        error = std::move(status).error();
      }
      return;
    }
  };
  const size_t n_workers = std::min(static_cast<size_t>(n_threads), pieces.size());
  {
    std::vector<std::jthread> threads;
    for (size_t i = 1; i < n_workers; ++i) threads.emplace_back(work, std::ref(scratch[i]));
    work(scratch[0]);
  }
  if (error) return tl::unexpected(std::move(*error));
  return {};
}

/// Pieces that are converted at once and then written.
struct Batch {
  std::vector<Piece> pieces;
  uint64_t source_bytes = 0;
  size_t out_bytes = 0;
};

/// Takes pieces from `begin` on, which moves behind them.
Batch take_batch(const std::vector<Piece>& pieces, const FormatTraits& format, size_t& begin) {
  Batch batch;
  int64_t n_values = 0;
  while (begin < pieces.size() && n_values < kBatchValues) {
    Piece piece = pieces[begin++];
    const int64_t n = piece.n_rows * cols_of(*piece.slab);
    piece.out_begin = batch.out_bytes;
    batch.out_bytes += static_cast<size_t>(n) / format.block_len * format.block_bytes;
    batch.source_bytes += piece.slab->source.weights.format.bytes(n);
    batch.pieces.push_back(piece);
    n_values += n;
  }
  return batch;
}

/// The pieces of a tensor, in order. A transposed slab is one piece: each of its output rows needs
/// all of its source rows.
std::vector<Piece> cut(const PlannedTensor& tensor) {
  std::vector<Piece> pieces;
  for (const Slab& slab : tensor.slabs) {
    const int64_t step =
        slab.transposed ? slab.n_rows : std::max<int64_t>(1, kPieceValues / cols_of(slab));
    for (int64_t row = 0; row < slab.n_rows; row += step) {
      pieces.push_back({&slab, slab.first_row + row, std::min(step, slab.n_rows - row), 0});
    }
  }
  return pieces;
}

}  // namespace

uint64_t source_bytes(const PlannedTensor& tensor) {
  uint64_t bytes = 0;
  for (const Slab& slab : tensor.slabs) {
    bytes += slab.source.weights.format.bytes(slab.n_rows * cols_of(slab));
  }
  return bytes;
}

Status stream_tensor(const PlannedTensor& tensor, int n_threads, GgufWriter& writer,
                     const std::function<bool(uint64_t)>& advance) {
  const FormatTraits& format = *find_format(tensor.desc.dtype);
  std::vector<Scratch> scratch(static_cast<size_t>(n_threads));
  std::vector<std::byte> out;
  const std::vector<Piece> pieces = cut(tensor);
  for (size_t begin = 0; begin < pieces.size();) {
    const Batch batch = take_batch(pieces, format, begin);
    out.resize(batch.out_bytes);
    MINKE_TRY(convert_pieces(batch.pieces, format, n_threads, scratch, out));
    MINKE_TRY(writer.write(out));
    if (!advance(batch.source_bytes)) return fail(Errc::kCancelled, "interrupted");
  }
  return {};
}

}  // namespace minke::convert
