// The model of random weights that the tests of the program share.
#pragma once

#include <filesystem>
#include <memory>

#include "tests/models/tiny_model.h"

namespace minke::test {

/// tests/data/tiny-lite as an F32 file: 3 layers, 320 tokens, template A. Made once a run.
inline const Model& tiny_model() {
  static const TempDir dir;
  static const std::unique_ptr<Model> model = open_tiny_model("tiny-lite", dir);
  return *model;
}

inline const std::filesystem::path& tiny_model_file() { return tiny_model().file().path(); }

}  // namespace minke::test
