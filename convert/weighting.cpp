#include "convert/weighting.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

#include "convert/imatrix.h"
#include "quant/format.h"

namespace minke::convert {
namespace {

/// Values that the mean square is taken of: as many as a large block has.
constexpr size_t kAround = 256;
/// What the mean square counts beside a value's own square: more where the column's importance is
/// known, since a value's size no longer has to stand for it; less of that below kFewBits a value
/// (CONTRIBUTING.md).
constexpr float kMeanAlone = 1.0f, kMeanBesideImportance = 16.0f, kMeanOfFewBits = 4.0f;
constexpr size_t kFewBits = 3;

float mean_share(std::span<const float> importance, DType dtype) noexcept {
  if (importance.empty()) return kMeanAlone;
  const FormatTraits& format = *find_format(dtype);
  return 8 * format.block_bytes < kFewBits * format.block_len ? kMeanOfFewBits
                                                              : kMeanBesideImportance;
}

/// The power of two that brings the largest magnitude near 1: squares of what is near the ends of
/// f32's range would be infinite, or zero.
float factor_for(std::span<const float> values) noexcept {
  int32_t largest = 0;  // Magnitudes are in the order of their bits.
  for (const float v : values) largest = std::max(largest, std::bit_cast<int32_t>(v) & INT32_MAX);
  const int exponent = (largest >> 23) - 127;
  return std::ldexp(1.0f, -std::clamp(exponent, -126, 126));
}

float sum_of_squares(std::span<const float> values, float factor) noexcept {
  constexpr size_t kLanes = 16;  // Always in this order, which the compiler turns into vectors.
  float sums[kLanes] = {};
  size_t begin = 0;
  for (; begin + kLanes <= values.size(); begin += kLanes) {
    for (size_t k = 0; k < kLanes; ++k) {
      const float v = values[begin + k] * factor;
      sums[k] += v * v;
    }
  }
  float sum = 0;
  for (const float part : sums) sum += part;
  for (const float value : values.subspan(begin)) sum += value * factor * (value * factor);
  return sum;
}

void weigh_by_size(std::span<const float> values, float mean_share,
                   std::span<float> weights) noexcept {
  for (size_t begin = 0; begin < values.size(); begin += kAround) {
    const auto part = values.subspan(begin, std::min(kAround, values.size() - begin));
    const float factor = factor_for(part);
    const float mean = sum_of_squares(part, factor) / static_cast<float>(part.size());
    const float base = mean_share * mean;
    for (size_t i = 0; i < part.size(); ++i) {
      const float v = part[i] * factor;
      weights[begin + i] = base + v * v;
    }
  }
}

}  // namespace

int64_t first_out_row(const Piece& piece) noexcept {
  int64_t row = 0;
  for (const Slab& slab : piece.tensor->slabs) {
    if (&slab == piece.slab) break;
    row += slab.transposed ? slab.source.weights.shape.cols() : slab.n_rows;
  }
  return piece.slab->transposed ? row : row + piece.first_row - piece.slab->first_row;
}

void weigh_row(std::span<const float> values, std::span<const float> importance, DType dtype,
               std::span<float> weights) noexcept {
  weigh_by_size(values, mean_share(importance, dtype), weights);
  for (size_t c = 0; c < importance.size(); ++c) weights[c] *= importance[c];
}

void weigh_errors(const Piece& piece, std::span<const float> values, std::vector<float>& weights) {
  weights.resize(values.size());
  const Shape& shape = piece.tensor->desc.shape;
  const auto cols = static_cast<size_t>(shape.cols());
  RowImportance importance(piece.tensor->importance, shape);
  int64_t row = first_out_row(piece);
  for (size_t at = 0; at < values.size(); at += cols, ++row) {
    weigh_row(values.subspan(at, cols), importance.of(row), piece.tensor->desc.dtype,
              std::span(weights).subspan(at, cols));
  }
  if (piece.tensor->name == "token_embd.weight" && piece.tensor->importance == nullptr) {
    for (float& weight : weights) weight *= weight;
  }
}

}  // namespace minke::convert
