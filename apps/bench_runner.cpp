#include "apps/bench_runner.h"

#include <algorithm>
#include <chrono>
#include <random>

#include "models/runner.h"

namespace minke::apps {
namespace {

using Clock = std::chrono::steady_clock;

/// One sequence that random tokens go through.
class Lane {
 public:
  Lane(Runner& runner, int n_tokens) : runner_(&runner), sequence_(runner.cache().add_sequence()) {
    std::mt19937 random(1);
    std::uniform_int_distribution<TokenId> any(0, runner.model().config().n_vocab - 1);
    for (int i = 0; i < n_tokens; ++i) tokens_.push_back(any(random));
  }

  int length() const { return runner_->cache().length(sequence_); }
  void cut(int n_tokens) { runner_->cache().truncate(sequence_, n_tokens); }

  /// Reads n tokens in batches; the last one gives logits.
  Status read(int n) {
    for (int left = n; left > 0;) {
      const int now = std::min(left, runner_->n_batch());
      left -= now;
      MINKE_TRY(forward(now, left == 0 ? 1 : 0));
    }
    return {};
  }
  Status generate(int n) {
    for (int i = 0; i < n; ++i) MINKE_TRY(forward(1, 1));
    return {};
  }

 private:
  Status forward(int n, int n_outputs) {
    const Runner::Item item{
        sequence_,
        std::span(tokens_).subspan(static_cast<size_t>(length()), static_cast<size_t>(n)),
        n_outputs};
    MINKE_TRY(runner_->forward({&item, 1}));
    return {};
  }

  Runner* runner_;
  LatentCache::Sequence sequence_;
  std::vector<TokenId> tokens_;
};

/// A short run of the same kind: touches the weights and wakes the threads.
Status warm_up(Lane& lane, const BenchTest& test, int n_batch) {
  if (test.n_prompt > 0) MINKE_TRY(lane.read(std::min(test.n_prompt, n_batch)));
  if (test.n_gen > 0) MINKE_TRY(lane.generate(1));
  return {};
}

}  // namespace

Result<std::vector<double>> time_case(const Model& model, Backend& backend,
                                      const BenchCase& bench_case, int repetitions,
                                      const std::function<void(int)>& progress) {
  const BenchTest& test = bench_case.test;
  const int n_tokens = test.n_depth + test.n_tokens();
  MINKE_ASSIGN(
      const std::unique_ptr<Runner> runner,
      Runner::create(
          model, backend,
          {.n_ctx = n_tokens, .n_batch = bench_case.n_batch, .cache_type = bench_case.cache_type}));
  Lane lane(*runner, n_tokens);
  progress(0);
  MINKE_TRY(lane.read(test.n_depth));
  MINKE_TRY(warm_up(lane, test, bench_case.n_batch));
  std::vector<double> seconds;
  for (int i = 0; i < repetitions; ++i) {
    progress(i + 1);
    lane.cut(test.n_depth);
    const Clock::time_point start = Clock::now();
    MINKE_TRY(lane.read(test.n_prompt));
    MINKE_TRY(lane.generate(test.n_gen));
    seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
  }
  return seconds;
}

}  // namespace minke::apps
