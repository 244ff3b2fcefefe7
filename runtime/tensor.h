// Shapes, descriptions and views of tensors.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include "quant/format.h"

namespace minke {

/// Up to four dimensions, row length last: a matrix of 3 rows of 5 values is Shape{3, 5}. (GGUF
/// writes the row length first; readers and writers turn it round.)
class Shape {
 public:
  static constexpr int kMaxRank = 4;

  Shape() = default;
  Shape(std::initializer_list<int64_t> dims);
  explicit Shape(std::span<const int64_t> dims);

  int rank() const noexcept { return rank_; }
  int64_t operator[](int i) const noexcept { return dims_[static_cast<size_t>(i)]; }
  /// Row length; 1 for a scalar.
  int64_t cols() const noexcept { return rank_ == 0 ? 1 : dims_[static_cast<size_t>(rank_ - 1)]; }
  /// Product of all dimensions but the last.
  int64_t rows() const noexcept;
  int64_t elements() const noexcept { return rows() * cols(); }
  bool operator==(const Shape&) const = default;

 private:
  std::array<int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};

/// "3x5"
std::string to_string(const Shape& shape);

struct TensorDesc {
  DType dtype = DType::kF32;
  Shape shape;

  /// Bytes of the whole tensor, rows packed without gaps.
  size_t bytes() const noexcept;
  size_t row_bytes() const noexcept {
    return minke::row_bytes(dtype, static_cast<size_t>(shape.cols()));
  }
  bool operator==(const TensorDesc&) const = default;
};

}  // namespace minke
