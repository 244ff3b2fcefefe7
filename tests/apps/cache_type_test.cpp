// -ctk in the program itself: all types work, and a wrong one is told with those that exist.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "runtime/cache_row.h"
#include "tests/apps/app_model.h"
#include "tests/apps/run_minke.h"

using namespace minke;
using namespace minke::test;

namespace {

/// All types, each with a comma behind it.
std::string all_types() {
  std::string names;
  for (const CacheType type : cache_types()) names.append(cache_type_name(type)).append(",");
  return names;
}

/// The greedy answer of a tiny model.
std::string answer(const std::string& model, CacheType type, const char* n_threads) {
  const RunResult result =
      run_minke({"run", "-m", model, "-p", "A b c d e f g", "-n", "12", "--temp", "0", "-t",
                 n_threads, "-ctk", std::string(cache_type_name(type))});
  REQUIRE_MESSAGE(result.exit_code == 0, result.err);
  return result.out;
}

}  // namespace

TEST_CASE("run: greedy answers with every type of the cache") {
  const TempDir dir;
  for (const char* name : {"tiny-lite", "tiny-236b"}) {
    CAPTURE(name);
    const auto model = open_tiny_model(name, dir);
    const std::string file = model->file().path().string();
    const std::string exact = answer(file, CacheType::kF32, "1");
    CHECK(exact.size() > 5);
    for (const CacheType type : cache_types()) {
      CAPTURE(cache_type_name(type));
      const std::string said = answer(file, type, "2");
      CHECK(said == answer(file, type, "1"));
      // The likeliest token of random weights stands out little; fewer bits may change it.
      const CacheRow row(type, 512, 64);
      if (row.n_bytes() > 600 && type != CacheType::kFp8) CHECK(said == exact);
    }
  }
}

TEST_CASE("bench: lists of types of the cache, and wrong ones") {
  const std::string model = tiny_model_file().string();
  const auto bench = [&](const std::string& types) {
    return run_minke({"bench", "-m", model, "-p", "8", "-n", "0", "-d", "70", "-r", "1", "-t", "1",
                      "-o", "jsonl", "-ctk", types});
  };
  const std::string types = all_types();
  const RunResult result = bench(types.substr(0, types.size() - 1));
  REQUIRE_MESSAGE(result.exit_code == 0, result.err);
  std::istringstream lines(result.out);
  std::string names;
  for (std::string line; std::getline(lines, line);)
    names.append(nlohmann::json::parse(line)["type_k"].get<std::string>()).append(",");
  CHECK(names == types);
  for (const char* wrong : {"q4_k", "f16,turbo3"}) {
    CAPTURE(wrong);
    const RunResult refused = bench(wrong);
    CHECK(refused.exit_code == 1);
    CHECK(refused.out.empty());
    CHECK(refused.err.find("f32, f16, bf16, q8, q8_0, fp8, q6, q4") != std::string::npos);
  }
}
