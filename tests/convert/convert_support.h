// Converts a small checkpoint, for tests of the result.
#pragma once

#include <doctest/doctest.h>

#include <filesystem>
#include <utility>

#include "convert/convert.h"
#include "runtime/gguf_reader.h"
#include "tests/convert/checkpoint_builder.h"
#include "tests/support.h"

namespace minke::test {

inline Status convert_to(const std::filesystem::path& from, const std::filesystem::path& to,
                         const char* recipe, int n_threads = 2,
                         const convert::ProgressCallback& progress = nullptr) {
  MINKE_ASSIGN(const auto conversion,
               convert::Conversion::prepare(from, *convert::find_recipe(recipe)));
  return conversion.run(to, n_threads, progress);
}

/// Writes the model, converts it and opens the result.
inline GgufFile converted(const TinyModel& model, const TempDir& dir, const char* recipe = "F32") {
  model.write(dir / "m");
  const Status status = convert_to(dir / "m", dir / "m.gguf", recipe);
  REQUIRE_MESSAGE(status.has_value(), (status ? "" : status.error().message));
  auto file = GgufFile::open(dir / "m.gguf");
  REQUIRE_MESSAGE(file.has_value(), (file ? "" : file.error().message));
  return std::move(*file);
}

}  // namespace minke::test
