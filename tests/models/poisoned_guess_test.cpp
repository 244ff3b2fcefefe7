// Guesses whose logits are not finite: only a broken model, or one near its limits, has such.
#include <doctest/doctest.h>

#include <algorithm>
#include <limits>

#include "backends/cpu/cpu_backend.h"
#include "tests/models/requests.h"
#include "tests/models/tiny_model.h"

using namespace minke;
using namespace minke::test;

namespace {

struct Fixture {
  TempDir dir;
  std::unique_ptr<Model> model = open_tiny_model("tiny-lite", dir);
  std::unique_ptr<Backend> backend = std::move(*make_cpu_backend({.n_threads = 1}));
};

/// What a backend's logits become: NaN.
enum class Poison {
  kGuesses,      ///< Those of each sequence after its first: of guesses.
  kFromGuesses,  ///< All from the first step with guesses on.
};

/// Another backend, whose logits are poisoned.
class PoisonBackend : public Backend {
 public:
  PoisonBackend(Backend& backend, Poison poison) : backend_(&backend), poison_(poison) {}
  std::string name() const override { return backend_->name(); }
  int n_threads() const noexcept override { return backend_->n_threads(); }
  bool supports(const Graph& graph, const Node& node) const noexcept override {
    return backend_->supports(graph, node);
  }
  Result<std::unique_ptr<Buffer>> allocate(size_t bytes) override {
    return backend_->allocate(bytes);
  }
  Result<std::unique_ptr<Plan>> compile(const Graph& graph) override {
    MINKE_ASSIGN(std::unique_ptr<Plan> plan, backend_->compile(graph));
    return std::unique_ptr<Plan>(new PoisonPlan(*this, std::move(plan)));
  }
  int n_poisoned() const { return n_poisoned_; }

 private:
  struct PoisonPlan : Plan {
    PoisonPlan(PoisonBackend& owner, std::unique_ptr<Plan> of)
        : backend(&owner), plan(std::move(of)) {}
    size_t scratch_bytes() const noexcept override { return plan->scratch_bytes(); }
    Result<std::span<const float>> run(const Step& step) override {
      MINKE_ASSIGN(const std::span<const float> good, plan->run(step));
      logits.assign(good.begin(), good.end());
      backend->poison(step, logits);
      return std::span<const float>(logits);
    }
    PoisonBackend* backend;
    std::unique_ptr<Plan> plan;
    std::vector<float> logits;
  };

  void poison(const Step& step, std::span<float> logits) {
    if (step.output_rows.empty()) return;
    const size_t n = logits.size() / step.output_rows.size();
    const auto blocks_of = [&](size_t i) {
      return step.slice_of(step.output_rows[i]).blocks.data();
    };
    for (size_t i = 0; i < step.output_rows.size(); ++i) {
      const bool guess = i > 0 && blocks_of(i) == blocks_of(i - 1);
      if (!guess && (poison_ == Poison::kGuesses || n_poisoned_ == 0)) continue;
      std::ranges::fill(logits.subspan(i * n, n), std::numeric_limits<float>::quiet_NaN());
      ++n_poisoned_;
    }
  }

  Backend* backend_;
  Poison poison_;
  int n_poisoned_ = 0;
};

}  // namespace

TEST_CASE("guesses whose logits are NaN are dropped, and nobody's answer suffers") {
  const Fixture f;
  std::vector<Request> requests = {repetitive_request(1, 0), repetitive_request(2, 0.7f)};
  const auto expected = run_all(*make_engine(*f.model, *f.backend, 256, 2), requests);
  for (const bool both : {false, true}) {
    requests[0].speculation = kSpeculations[2];
    if (both) requests[1].speculation = kSpeculations[3];
    PoisonBackend poisoned(*f.backend, Poison::kGuesses);
    const auto engine = make_engine(*f.model, poisoned, 256, 2);
    const auto outcomes = run_all(*engine, requests);
    CHECK(poisoned.n_poisoned() > 20);
    for (size_t i = 0; i < requests.size(); ++i) {
      CHECK(outcomes[i].last.reason == FinishReason::kMaxTokens);
      CHECK(outcomes[i].tokens == expected[i].tokens);
      CHECK(outcomes[i].last.drafted == 0);
      CHECK(outcomes[i].last.generation_steps == outcomes[i].last.generated - 1);
    }
  }
}

TEST_CASE("logits that are NaN without guesses too end the request") {
  const Fixture f;
  PoisonBackend poisoned(*f.backend, Poison::kFromGuesses);
  const auto engine = make_engine(*f.model, poisoned, 256);
  Request request = repetitive_request(1, 0);
  request.speculation = kSpeculations[2];
  const Outcome outcome = run_one(*engine, request);
  CHECK(!outcome.tokens.empty());
  CHECK(outcome.last.reason == FinishReason::kError);
  REQUIRE(outcome.last.error);
  CHECK(outcome.last.error->code == Errc::kContent);
  // What was whole stays: all tokens but the one that could not be run.
  CHECK(engine->runner().cached_tokens() ==
        static_cast<int>(request.prompt.size() + outcome.tokens.size()) - 1);
}
