#include "tests/models/tiny_model.h"

#include <doctest/doctest.h>

#include "convert/convert.h"

namespace minke::test {

std::unique_ptr<Model> open_tiny_model(const std::string& name, const TempDir& dir,
                                       const char* recipe) {
  const auto path = dir / (name + recipe + ".gguf");
  const auto conversion =
      convert::Conversion::prepare(data_path(name), *convert::find_recipe(recipe));
  REQUIRE_MESSAGE(conversion, (conversion ? "" : conversion.error().message));
  const Status done = conversion->run(path, 2, [](const convert::Progress&) { return true; });
  REQUIRE_MESSAGE(done, (done ? "" : done.error().message));
  auto model = Model::open(path);
  REQUIRE_MESSAGE(model, (model ? "" : model.error().message));
  return std::move(*model);
}

}  // namespace minke::test
