// The layers' one direction: quant <- runtime <- {backends, models, convert} <- apps.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support.h"

namespace fs = std::filesystem;

namespace {

struct Layer {
  std::string_view folder;
  std::vector<std::string_view> may_include;  ///< besides itself
};

const std::array kLayers = {
    Layer{"quant", {}},
    Layer{"runtime", {"quant"}},
    Layer{"backends", {"quant", "runtime"}},
    Layer{"models", {"quant", "runtime"}},
    Layer{"convert", {"quant", "runtime"}},
    Layer{"apps", {"quant", "runtime", "backends", "models", "convert"}},
};

const Layer* find_layer(std::string_view folder) {
  const auto* found = std::ranges::find(kLayers, folder, &Layer::folder);
  return found == kLayers.end() ? nullptr : found;
}

std::string_view first_folder(std::string_view path) { return path.substr(0, path.find('/')); }

/// "backends/cpu" of "backends/cpu/kernels/add.cpp".
std::string_view backend_of(std::string_view path) {
  return path.substr(0, path.find('/', std::string_view("backends/").size()));
}

/// The path between the quotes of `#include "..."`; empty for any other line.
std::string quoted_include(std::string_view line) {
  std::istringstream words{std::string(line)};
  std::string directive;
  std::string target;
  words >> directive;
  if (directive == "#") {
    std::string rest;
    words >> rest;
    directive += rest;
  }
  words >> target;
  if (directive != "#include" || target.size() < 3 || target.front() != '"') return {};
  return target.substr(1, target.rfind('"') - 1);
}

/// Why a file of the repository, `path`, must not include `target`; empty if it may.
std::string objection(std::string_view path, std::string_view target) {
  const Layer* from = find_layer(first_folder(path));
  const Layer* to = find_layer(first_folder(target));
  if (to == nullptr) return "is not written from the repository's root";
  if (from == to) {
    const bool other_backend = from->folder == "backends" && backend_of(path) != backend_of(target);
    return other_backend ? "is another backend's" : "";
  }
  if (std::ranges::find(from->may_include, to->folder) != from->may_include.end()) return "";
  return "is of a layer that " + std::string(from->folder) + " must not know";
}

/// One line for every include of `text`, the content of `path`, that breaks the rule.
std::vector<std::string> violations(const std::string& path, const std::string& text) {
  std::vector<std::string> found;
  std::istringstream lines(text);
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    const std::string target = quoted_include(line);
    if (target.empty()) continue;
    const std::string reason = objection(path, target);
    if (reason.empty()) continue;
    found.push_back(path + ":" + std::to_string(number) + ": \"" + target + "\" " + reason);
  }
  return found;
}

bool is_source(const fs::path& path) {
  constexpr std::array kEndings = {".h", ".cpp", ".inc"};
  return std::ranges::find(kEndings, path.extension().string()) != kEndings.end();
}

}  // namespace

TEST_CASE("the include rule objects to what points upwards or sideways") {
  CHECK(violations("models/a.cpp", "#include \"runtime/result.h\"\n#include <vector>\n").empty());
  CHECK(violations("models/a.cpp", "#include \"backends/cpu/isa.h\"").size() == 1);
  CHECK(violations("models/a.cpp", "  # include \"convert/recipe.h\"").size() == 1);
  CHECK(violations("quant/a.h", "#include \"runtime/result.h\"").size() == 1);
  CHECK(violations("runtime/a.h", "#include \"result.h\"").size() == 1);
  CHECK(violations("backends/cpu/a.cpp", "#include \"backends/cuda/device.h\"").size() == 1);
  CHECK(violations("backends/cpu/kernels/a.cpp", "#include \"backends/cpu/isa.h\"").empty());
  CHECK(violations("apps/a.cpp", "#include \"tests/support.h\"").size() == 1);
}

TEST_CASE("includes follow the direction of the layers") {
  const fs::path root = MINKE_SOURCE_DIR;
  for (const Layer& layer : kLayers) {
    if (!fs::exists(root / layer.folder)) {
      // Said aloud: a layer that is renamed must not drop out of the test unseen.
      MESSAGE("no folder ", std::string(layer.folder));
      continue;
    }
    int n_files = 0;
    for (const auto& entry : fs::recursive_directory_iterator(root / layer.folder)) {
      if (!entry.is_regular_file() || !is_source(entry.path())) continue;
      ++n_files;
      const std::string path = fs::relative(entry.path(), root).generic_string();
      for (const std::string& line : violations(path, minke::test::read_file(entry.path()))) {
        FAIL_CHECK(line);
      }
    }
    CHECK_MESSAGE(n_files > 0, "no sources in ", std::string(layer.folder));
  }
}
