#include "convert/weighting.h"

#include <algorithm>

#include "convert/imatrix.h"

namespace minke::convert {
namespace {

/// Values that the mean square is taken of: as many as a large block has.
constexpr size_t kAround = 256;

/// Row of the tensor that the piece's first one becomes.
int64_t first_out_row(const Piece& piece) noexcept {
  int64_t row = 0;
  for (const Slab& slab : piece.tensor->slabs) {
    if (&slab == piece.slab) break;
    row += slab.transposed ? slab.source.weights.shape.cols() : slab.n_rows;
  }
  return piece.slab->transposed ? row : row + piece.first_row - piece.slab->first_row;
}

void weigh_by_size(std::span<const float> values, std::span<float> weights) noexcept {
  for (size_t begin = 0; begin < values.size(); begin += kAround) {
    const auto part = values.subspan(begin, std::min(kAround, values.size() - begin));
    float squares = 0;
    for (const float value : part) squares += value * value;
    const float mean = squares / static_cast<float>(part.size());
    for (size_t i = 0; i < part.size(); ++i) weights[begin + i] = mean + part[i] * part[i];
  }
}

}  // namespace

void row_importance(const Piece& piece, int64_t row, std::vector<float>& importance) {
  importance.clear();
  const PlannedTensor& tensor = *piece.tensor;
  if (tensor.importance == nullptr) return;
  const Shape& shape = tensor.desc.shape;
  const int64_t n_planes = shape.rank() == 3 ? shape[0] : 1;
  const int64_t plane = (first_out_row(piece) + row) / (shape.rows() / n_planes);
  importance = column_importance(*tensor.importance, n_planes, plane);
}

void weigh_row(std::span<const float> values, std::span<const float> importance,
               std::span<float> weights) noexcept {
  weigh_by_size(values, weights);
  for (size_t c = 0; c < importance.size(); ++c) weights[c] *= importance[c];
}

void weigh_errors(const Piece& piece, std::span<const float> values, std::vector<float>& weights) {
  weights.resize(values.size());
  const Shape& shape = piece.tensor->desc.shape;
  const auto cols = static_cast<size_t>(shape.cols());
  const ImportanceEntry* entry = piece.tensor->importance;
  const int64_t n_planes = shape.rank() == 3 ? shape[0] : 1;
  const int64_t plane_rows = shape.rows() / n_planes;
  std::vector<float> importance;
  int64_t plane = -1, row = first_out_row(piece);
  for (size_t at = 0; at < values.size(); at += cols, ++row) {
    if (entry != nullptr && row / plane_rows != plane) {
      plane = row / plane_rows;
      importance = column_importance(*entry, n_planes, plane);
    }
    weigh_row(values.subspan(at, cols), importance, std::span(weights).subspan(at, cols));
  }
}

}  // namespace minke::convert
