#include "runtime/tensor.h"

#include <fmt/format.h>

#include "runtime/result.h"

namespace minke {

Shape::Shape(std::initializer_list<int64_t> dims)
    : Shape(std::span<const int64_t>(dims.begin(), dims.size())) {}

Shape::Shape(std::span<const int64_t> dims) : rank_(static_cast<int>(dims.size())) {
  MINKE_CHECK(dims.size() <= kMaxRank, "rank {}", dims.size());
  for (size_t i = 0; i < dims.size(); ++i) dims_[i] = dims[i];
}

int64_t Shape::rows() const noexcept {
  int64_t n = 1;
  for (int i = 0; i + 1 < rank_; ++i) n *= (*this)[i];
  return n;
}

std::string to_string(const Shape& shape) {
  std::string text;
  for (int i = 0; i < shape.rank(); ++i) text += fmt::format("{}{}", i ? "x" : "", shape[i]);
  return text.empty() ? "scalar" : text;
}

size_t TensorDesc::bytes() const noexcept {
  return static_cast<size_t>(shape.rows()) * row_bytes();
}

}  // namespace minke
