#include "apps/bench_runner.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <random>

#include "models/runner.h"
#include "runtime/memory_nodes.h"

namespace minke::apps {
namespace {

using Clock = std::chrono::steady_clock;

/// Sequences that random tokens go through, to each its own.
class Lanes {
 public:
  Lanes(Runner& runner, int n_sequences, int n_tokens) : runner_(&runner) {
    std::mt19937 random(1);
    std::uniform_int_distribution<TokenId> any(0, runner.model().config().n_vocab - 1);
    for (int s = 0; s < n_sequences; ++s) {
      Lane& lane = lanes_.emplace_back(runner.cache().add_sequence());
      for (int i = 0; i < n_tokens; ++i) lane.tokens.push_back(any(random));
    }
  }

  void cut(int n_tokens) {
    for (const Lane& lane : lanes_) runner_->cache().truncate(lane.sequence, n_tokens);
  }

  /// As if n tokens of each sequence had been read: puts made-up rows into the cache. Attention
  /// is as fast whatever they hold, and to read so many tokens would take far longer than the test.
  Status fill(int n) {
    constexpr size_t kRows = 64;
    LatentCache& cache = runner_->cache();
    const CacheRow& layout = cache.row_layout();
    std::mt19937 random(2);
    std::normal_distribution<float> any;
    size_t lane_number = 0;
    std::vector<float> values(layout.n_values());
    std::vector<std::byte> rows(kRows * layout.n_bytes());
    for (size_t r = 0; r < kRows; ++r) {
      for (float& value : values) value = any(random);
      layout.encode(values.data(), &rows[r * layout.n_bytes()]);
    }
    const SpreadOverNodes spread;  // as when workers had stored the rows
    for (const Lane& lane : lanes_) {
      MINKE_ASSIGN(const SequenceSlice slice, cache.extend(lane.sequence, n));
      for (int layer = 0; layer < cache.config().n_layers; ++layer)
        for (int i = 0; i < n; ++i)
          std::memcpy(
              cache.row_at(layer, slice, slice.first_position + i),
              &rows[(lane_number + static_cast<size_t>(layer + i)) % kRows * layout.n_bytes()],
              layout.n_bytes());
      ++lane_number;  // the next sequence has other rows in the same places
    }
    return {};
  }

  /// Reads n tokens of each sequence in batches; the last one of each gives logits.
  Status read(int n) {
    for (const Lane& lane : lanes_) {
      for (int left = n; left > 0;) {
        const int now = std::min(left, runner_->n_batch());
        left -= now;
        const Runner::Item item = next(lane, now, left == 0 ? 1 : 0);
        MINKE_TRY(runner_->forward({&item, 1}));
      }
    }
    return {};
  }

  /// n steps, of one token of each sequence.
  Status generate(int n) {
    std::vector<Runner::Item> items;
    for (int i = 0; i < n; ++i) {
      items.clear();
      for (const Lane& lane : lanes_) items.push_back(next(lane, 1, 1));
      MINKE_TRY(runner_->forward(items));
    }
    return {};
  }

 private:
  struct Lane {
    explicit Lane(LatentCache::Sequence id) : sequence(id) {}
    LatentCache::Sequence sequence;
    std::vector<TokenId> tokens;
  };

  Runner::Item next(const Lane& lane, int n, int n_outputs) const {
    const auto done = static_cast<size_t>(runner_->cache().length(lane.sequence));
    return {lane.sequence, std::span(lane.tokens).subspan(done, static_cast<size_t>(n)), n_outputs};
  }

  Runner* runner_;
  std::vector<Lane> lanes_;
};

/// A short run of the same kind: touches the weights and wakes the threads.
Status warm_up(Lanes& lanes, const BenchTest& test, int n_batch) {
  if (test.n_prompt > 0) MINKE_TRY(lanes.read(std::min(test.n_prompt, n_batch)));
  if (test.n_gen > 0) MINKE_TRY(lanes.generate(1));
  return {};
}

}  // namespace

Result<std::vector<double>> time_case(const Model& model, Backend& backend,
                                      const BenchCase& bench_case, int repetitions,
                                      const std::function<void(int)>& progress) {
  const BenchTest& test = bench_case.test;
  MINKE_ASSIGN(const std::unique_ptr<Runner> runner,
               Runner::create(model, backend,
                              {.n_ctx = test.n_ctx(),
                               .n_sequences = test.n_sequences,
                               .n_batch = std::max(bench_case.n_batch, test.n_sequences),
                               .cache_type = bench_case.cache_type}));
  Lanes lanes(*runner, test.n_sequences, test.n_ctx());
  progress(0);
  MINKE_TRY(lanes.fill(test.n_depth));
  MINKE_TRY(warm_up(lanes, test, bench_case.n_batch));
  std::vector<double> seconds;
  for (int i = 0; i < repetitions; ++i) {
    progress(i + 1);
    lanes.cut(test.n_depth);
    const Clock::time_point start = Clock::now();
    MINKE_TRY(lanes.read(test.n_prompt));
    MINKE_TRY(lanes.generate(test.n_gen));
    seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
  }
  return seconds;
}

}  // namespace minke::apps
