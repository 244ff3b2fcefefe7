// `minke perplexity`, also with --kl-divergence, against what tests/oracle/perplexity.py computed
// with transformers.
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
  check_refused(run_minke({"perplexity", "-m", tiny_model_file()}), 1, "no text: give -f");
  check_refused(measure(tiny_model_file(), dir / "short", 64), 1, "too few for a context of 64");
  check_refused(measure(tiny_model_file(), dir / "short", 3), 1, "use at least 4");
  check_refused(measure(tiny_model_file(), dir / "short", 4, {"--chunks", "0"}), 1,
                "nothing to measure");
  check_refused(measure(tiny_model_file(), dir / "none", 64), 66, "none");
  check_refused(measure(tiny_model_file(), dir / "binary", 64), 65, "offset 0x0: not UTF-8");
  check_refused(measure(dir / "none.gguf", dir / "short", 64), 66, "none.gguf");
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

// ---- KL divergence ----

namespace {

/// The number that follows "NAME   :" in a report.
double figure(const std::string& out, const std::string& name) {
  const size_t at = out.find(name + " ");
  REQUIRE_MESSAGE(at != std::string::npos, name << " in " << out);
  return std::stod(out.substr(out.find(':', at) + 1));
}

/// tiny-lite's predictions, saved once, and how another model compares with them.
class SavedBase {
 public:
  explicit SavedBase(int n_ctx) {
    write_file(dir_ / "text", oracle()["text"].get<std::string>());
    const RunResult saved = measure(tiny_model_file(), dir_ / "text", n_ctx,
                                    {"-ctk", "f32", "--save-all-logits", file(), "-b", "128"});
    REQUIRE_MESSAGE(saved.exit_code == 0, saved.err);
  }
  std::filesystem::path file() const { return dir_ / "base"; }
  std::filesystem::path text() const { return dir_ / "text"; }
  const TempDir& dir() const { return dir_; }
  RunResult compare(const std::filesystem::path& model, std::vector<std::string> more = {}) const {
    std::vector<std::string> arguments = {"perplexity", "-m", model, "--kl-divergence",     "-ctk",
                                          "f32",        "-b", "512", "--kl-divergence-base"};
    arguments.push_back(file());
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_minke(arguments);
  }

 private:
  TempDir dir_;
};

}  // namespace

TEST_CASE("perplexity: KL divergence is that of transformers' logits") {
  for (const Json& run : oracle()["runs"]) {
    const SavedBase base(run["n_ctx"].get<int>());
    for (const std::string name : {"tiny-lite-bf16", "tiny-236b"}) {
      CAPTURE(name);
      const Json& expected = run[name];
      const auto model = open_tiny_model(name, base.dir());
      const RunResult result = base.compare(model->file().path());
      REQUIRE_MESSAGE(result.exit_code == 0, result.err);
      CAPTURE(result.out);
      // Stored log probabilities are multiples of a scale of at most 16 / 65535.
      const auto near = [&](const char* what, const char* key, double unit, double rounding) {
        CAPTURE(what);
        const double wanted = expected[key].get<double>() * unit;
        CHECK(std::abs(figure(result.out, what) - wanted) <= 1e-3 * std::abs(wanted) + rounding);
      };
      near("Mean PPL(Q)", "ppl", 1, 0);
      near("Mean    KLD", "kld", 1, 2e-6);
      near("Median  KLD", "kld_median", 1, 5e-6);
      near("Maximum KLD", "kld_max", 1, 2e-5);
      near("Mean    Δp", "delta_p", 100, 2e-5);
      near("RMS     Δp", "delta_p_rms", 100, 2e-5);
      near("Same top", "same_top", 100, 1e-4);
      CHECK(figure(result.out, "Mean PPL(base)") ==
            doctest::Approx(run["tiny-lite"]["ppl"].get<double>()).epsilon(1e-4));
    }
  }
}

TEST_CASE("perplexity: a model does not differ from itself") {
  const SavedBase base(64);
  const RunResult result = base.compare(tiny_model_file(), {"--chunks", "3"});
  REQUIRE(result.exit_code == 0);
  CHECK(std::abs(figure(result.out, "Mean    KLD")) < 1e-6);
  CHECK(figure(result.out, "Same top") == 100);
  // The text of the base may be named too.
  CHECK(base.compare(tiny_model_file(), {"-f", base.text()}).exit_code == 0);
}

TEST_CASE("perplexity: a base that is damaged or of something else is one line") {
  const SavedBase base(64);
  const std::string good = read_file(base.file());
  const auto check = [&](std::string bytes, const std::string& part, int exit_code = 65) {
    write_file(base.file(), bytes);
    const RunResult result = base.compare(tiny_model_file());
    check_error(result, exit_code, part);
  };
  const auto with = [&](size_t at, char byte) {
    std::string bytes = good;
    bytes[at] = byte;
    return bytes;
  };
  check("", "empty");
  check("_logits", "offset 0x0");
  check(with(0, 'x'), "offset 0x0");
  check(with(8, 1), "n_ctx");
  check(with(15, '\x7f'), "n_vocab");
  check(with(12, 7), "another vocabulary");
  check(with(16, 0), "chunks do not fit");
  check(with(19, '\x7f'), "chunks do not fit");
  check(with(23, '\x7f'), "token (got");
  check(with(good.size() / 2, static_cast<char>(good[good.size() / 2] ^ 1)), "checksum differs");
  check(good.substr(0, good.size() - 1), "do not belong here");
  check(good.substr(0, good.size() - 100), "chunks do not fit");
  check(good + "x", "do not belong here");
  // llama.cpp writes no checksum: what a row adds up to tells.
  std::string plain = good.substr(0, good.size() - 16);
  write_file(base.file(), plain);
  CHECK(base.compare(tiny_model_file()).exit_code == 0);
  const size_t rows = 20 + 5 * 64 * 4;
  plain[rows + 3] = 0x10;
  write_file(base.file(), plain);
  const RunResult damaged = base.compare(tiny_model_file());
  CHECK(damaged.exit_code == 65);
  CHECK(damaged.err.find("the probabilities add up to") != std::string::npos);
  // Another text, and what the command line lacks.
  write_file(base.file(), good);
  write_file(base.dir() / "other", oracle()["text"].get<std::string>().substr(20));
  const RunResult other = base.compare(tiny_model_file(), {"-f", base.dir() / "other"});
  CHECK(other.exit_code == 65);
  CHECK(other.err.find("another text") != std::string::npos);
  const RunResult again =
      measure(tiny_model_file(), base.text(), 64, {"--save-logits", base.file()});
  CHECK(again.exit_code == 1);
  CHECK(again.err.find("already there") != std::string::npos);
  CHECK(read_file(base.file()) == good);
  CHECK(run_minke({"perplexity", "-m", tiny_model_file(), "--kl-divergence"}).exit_code == 1);
}
