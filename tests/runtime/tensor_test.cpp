#include "runtime/tensor.h"

#include <doctest/doctest.h>

using namespace minke;

TEST_CASE("a shape counts rows and elements") {
  CHECK(Shape{}.elements() == 1);
  CHECK(Shape{5}.rows() == 1);
  CHECK(Shape{2, 3, 5}.rows() == 6);
  CHECK(Shape{2, 3, 5}.elements() == 30);
  CHECK(to_string(Shape{2, 3}) == "2x3");
}

TEST_CASE("a quantized tensor's size follows its blocks") {
  CHECK(TensorDesc{DType::kQ4_K, Shape{3, 512}}.bytes() == 3 * 2 * 144);
  CHECK(TensorDesc{DType::kI32, Shape{4}}.bytes() == 16);
  CHECK(find_format("q4_k")->dtype == DType::kQ4_K);
  CHECK(find_format("nonsense") == nullptr);
}
