// How much the error of each value counts when weights are quantized.
#pragma once

#include <span>
#include <vector>

#include "convert/pieces.h"

namespace minke::convert {

/// Weights (values.size()) for the encoder of a piece's values: rows of tensor->desc.shape.cols()
/// as they are encoded. A value counts by its own square and the mean square around it: what is
/// large carries most of a product, and equal weights would spend as much on the many small values
/// (CONTRIBUTING.md, "Errors count by the size of the value"). Where the tensor has an importance,
/// that of the column (the mean square of what comes in) multiplies it, and the mean square around
/// counts 16 times, or 4 times in types of less than 3 bits a value. Embeddings of tokens without
/// an importance, which are looked up and not multiplied, count by the square of the weight.
/// Weights can be compared within 256 values of a row, which no block goes beyond; a power of two
/// keeps them within f32's range.
void weigh_errors(const Piece& piece, std::span<const float> values, std::vector<float>& weights);

/// The same for a row of a tensor of `cols` = values.size() columns that becomes `dtype`:
/// `importance` (cols) of its columns, or empty.
void weigh_row(std::span<const float> values, std::span<const float> importance, DType dtype,
               std::span<float> weights) noexcept;

/// Row of the tensor that the piece's first one becomes, for RowImportance.
int64_t first_out_row(const Piece& piece) noexcept;

}  // namespace minke::convert
