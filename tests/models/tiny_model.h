// The small random-weight models of tests/data, converted and opened.
#pragma once

#include <memory>
#include <string>

#include "models/model.h"
#include "tests/support.h"

namespace minke::test {

/// The checkpoint tests/data/NAME as a file of `dir`, by a recipe of the converter.
std::unique_ptr<Model> open_tiny_model(const std::string& name, const TempDir& dir,
                                       const char* recipe = "F32");

}  // namespace minke::test
