// `minke perplexity` against what tests/oracle/perplexity.py computed with transformers.
#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <string>

#include "apps/estimate.h"
#include "tests/apps/app_model.h"
#include "tests/apps/run_minke.h"

using namespace minke;
using namespace minke::test;
using Json = nlohmann::json;

namespace {

const Json& oracle() {
  static const Json json = Json::parse(read_file(data_path("perplexity.json")));
  return json;
}

/// "Final estimate: PPL = x +/- y"
apps::Estimate final_estimate(const std::string& out) {
  const std::string head = "Final estimate: PPL = ";
  const size_t at = out.find(head);
  REQUIRE_MESSAGE(at != std::string::npos, out);
  apps::Estimate estimate;
  REQUIRE(std::sscanf(out.c_str() + at + head.size(), "%lf +/- %lf", &estimate.mean,
                      &estimate.error) == 2);
  return estimate;
}

RunResult measure(const std::filesystem::path& model, const std::filesystem::path& text, int n_ctx,
                  std::vector<std::string> more = {}) {
  std::vector<std::string> arguments = {"perplexity",         "-m", model, "-f", text, "-c",
                                        std::to_string(n_ctx)};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return run_minke(arguments);
}

}  // namespace

TEST_CASE("perplexity: is that of transformers, whatever the batch") {
  const TempDir dir;
  write_file(dir / "text", oracle()["text"].get<std::string>());
  for (const std::string name : {"tiny-lite", "tiny-236b"}) {
    const auto model = open_tiny_model(name, dir);
    for (const Json& run : oracle()["runs"]) {
      for (const char* n_batch : {"37", "64", "512"}) {
        CAPTURE(name);
        CAPTURE(n_batch);
        const int n_ctx = run["n_ctx"];
        CAPTURE(n_ctx);
        const RunResult result = measure(model->file().path(), dir / "text", n_ctx,
                                         {"-b", n_batch, "-ctk", "f32", "-t", "2"});
        REQUIRE_MESSAGE(result.exit_code == 0, result.err);
        const int n_chunks = run["n_chunks"];
        CHECK(result.out.find(fmt::format("[{}]", n_chunks)) != std::string::npos);
        CHECK(result.out.find(fmt::format("[{}]", n_chunks + 1)) == std::string::npos);
        const apps::Estimate got = final_estimate(result.out);
        CHECK(got.mean == doctest::Approx(run[name]["ppl"].get<double>()).epsilon(1e-4));
        CHECK(got.error == doctest::Approx(run[name]["ppl_error"].get<double>()).epsilon(1e-3));
      }
    }
  }
}

TEST_CASE("perplexity: --chunks takes the first ones") {
  const TempDir dir;
  write_file(dir / "text", oracle()["text"].get<std::string>());
  const RunResult all = measure(tiny_model_file(), dir / "text", 64);
  const RunResult two = measure(tiny_model_file(), dir / "text", 64, {"--chunks", "2"});
  REQUIRE(two.exit_code == 0);
  const std::string running = two.out.substr(0, two.out.find('\n'));
  CHECK(running.find("[2]") != std::string::npos);
  CHECK(running.find("[3]") == std::string::npos);
  const auto second = [](const std::string& out) {
    return std::stod(out.substr(out.find("[2]") + 3));
  };
  CHECK(second(all.out) == doctest::Approx(second(two.out)).epsilon(1e-4));
}

TEST_CASE("perplexity: bad input is one line and the right exit code") {
  const TempDir dir;
  write_file(dir / "short", "Hello.");
  write_file(dir / "binary", "\xFF\xFE");
  const auto check = [](const RunResult& result, int exit_code, const std::string& part) {
    INFO(result.err);
    CHECK(result.exit_code == exit_code);
    CHECK(result.out.empty());
    CHECK(result.err.find(part) != std::string::npos);
    CHECK(result.err.find('\n') == result.err.size() - 1);
  };
  check(run_minke({"perplexity", "-m", tiny_model_file()}), 1, "no text: give -f");
  check(measure(tiny_model_file(), dir / "short", 64), 1, "too few for a context of 64");
  check(measure(tiny_model_file(), dir / "short", 3), 1, "use at least 4");
  check(measure(tiny_model_file(), dir / "short", 4, {"--chunks", "0"}), 1, "nothing to measure");
  check(measure(tiny_model_file(), dir / "none", 64), 66, "none");
  check(measure(tiny_model_file(), dir / "binary", 64), 65, "offset 0x0: not UTF-8");
  check(measure(dir / "none.gguf", dir / "short", 64), 66, "none.gguf");
}

TEST_CASE("means and their errors") {
  const double values[] = {1, 2, 3, 6};
  const apps::Estimate estimate = apps::estimate_mean(values);
  CHECK(estimate.mean == doctest::Approx(3));
  CHECK(estimate.error == doctest::Approx(std::sqrt((4.0 + 1 + 0 + 9) / 4 / 3)));
  CHECK(apps::exp_of({0, 0.5}).mean == doctest::Approx(1));
  CHECK(apps::exp_of({0, 0.5}).error == doctest::Approx(0.5));
  CHECK(apps::estimate_mean({}).mean == 0);
}
