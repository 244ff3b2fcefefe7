// Attention's results do not depend on how many workers share it, nor on what a step holds beside.
#include <doctest/doctest.h>

#include <cstring>
#include <numeric>

#include "backends/cpu/cpu_backend.h"
#include "runtime/graph.h"
#include "runtime/latent_cache.h"
#include "tests/backends/cpu/kernel_support.h"

namespace minke::test {
namespace {

constexpr int kRank = 64, kRope = 32, kNope = 32, kValues = 32;

/// Cached tokens before the step, and the tokens of the step that are run, of a sequence.
struct Part {
  int before, first, n;
};

/// One attention op and a cache of some sequences.
class Attention {
 public:
  Attention(int n_heads, int n_tokens, CacheType type)
      : n_heads_(n_heads), n_tokens_(n_tokens), type_(type) {
    std::mt19937 rng(17);
    q_ = random_floats(rng, floats(n_tokens, n_heads * (kNope + kRope)));
    kv_ = random_floats(rng, floats(n_tokens, kRank + kRope));
    norm_ = std::vector<float>(kRank, 1.0f);
    k_b_ = random_floats(rng, floats(n_heads, kRank * kNope));
    v_b_ = random_floats(rng, floats(n_heads, kRank * kValues));
    history_ = random_floats(rng, floats(64, kRank + kRope));
  }

  /// The output's bits, (tokens of all parts, n_heads * kValues).
  std::vector<float> run(int n_workers, const std::vector<Part>& parts) const {
    auto backend = make_cpu_backend({.n_threads = n_workers, .mla_form = cpu::MlaForm::kAbsorbed});
    REQUIRE(backend);
    const auto graph = build();
    int n_blocks = 0;
    for (const Part& p : parts) n_blocks += (p.before + p.first + p.n) / 64 + 1;
    const auto cache = LatentCache::create(
        {.n_layers = 1, .n_latent = kRank, .n_rotated = kRope, .type = type_, .n_blocks = n_blocks},
        **backend);
    REQUIRE(cache);
    std::vector<int32_t> tokens, positions, outputs;
    std::vector<SequenceSlice> slices;
    for (const Part& part : parts) {
      const auto sequence = (*cache)->add_sequence();
      const auto before = (*cache)->extend(sequence, part.before + part.first);
      REQUIRE(before);
      for (int i = 0; i < part.before + part.first; ++i)
        (*cache)->write_row(0, *before, i, &history_[floats(i % 61, kRank + kRope)]);
      slices.push_back((*cache)->extend(sequence, part.n).value());
      slices.back().first_token = static_cast<int>(tokens.size());
      for (int i = 0; i < part.n; ++i) {
        outputs.push_back(static_cast<int32_t>(tokens.size()));
        tokens.push_back((part.first + i) % n_tokens_);
        positions.push_back(part.before + part.first + i);
      }
    }
    const auto plan = (*backend)->compile(*graph);
    REQUIRE(plan);
    const auto result = (*plan)->run({tokens, positions, outputs, slices, cache->get()});
    REQUIRE(result);
    return {result->begin(), result->end()};
  }

 private:
  static size_t floats(int rows, int cols) {
    return static_cast<size_t>(rows) * static_cast<size_t>(cols);
  }
  static Value weight(Graph& graph, const std::vector<float>& values, const Shape& shape) {
    return graph.weight("weight", {DType::kF32, shape},
                        reinterpret_cast<const std::byte*>(values.data()));
  }
  std::unique_ptr<Graph> build() const {
    auto graph = std::make_unique<Graph>(n_tokens_, n_tokens_);
    Graph& g = *graph;
    const Value ids = g.input(StepInput::kTokens);
    const int q_cols = n_heads_ * (kNope + kRope);
    const Value q = g.get_rows(weight(g, q_, Shape{n_tokens_, q_cols}), ids);
    const Value kv = g.get_rows(weight(g, kv_, Shape{n_tokens_, kRank + kRope}), ids);
    const Value table =
        g.rope_table(g.input(StepInput::kPositions), std::vector<float>(kRope / 2, 0.01f));
    const Value stored =
        g.latent_store(kv, weight(g, norm_, Shape{kRank}), table, {0, kRank, 1e-6f});
    REQUIRE(g.finish(g.mla_attention(q, weight(g, k_b_, Shape{n_heads_, kRank, kNope}),
                                     weight(g, v_b_, Shape{n_heads_, kValues, kRank}), stored,
                                     {0, n_heads_, kNope, kRope, kValues, kRank, 0.1f})));
    return graph;
  }

  int n_heads_, n_tokens_;
  CacheType type_;
  std::vector<float> q_, kv_, norm_, k_b_, v_b_, history_;
};

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

void check_workers(const Attention& attention, const std::vector<Part>& parts) {
  const auto expected = attention.run(1, parts);
  for (const int n_workers : {2, 3, 8}) {
    CAPTURE(n_workers);
    CHECK(same_bits(attention.run(n_workers, parts), expected));
  }
}

}  // namespace

TEST_CASE("attention over a long cache has the same bits on any number of workers") {
  for (const CacheType type : {kDefaultCacheType, CacheType::kF16, CacheType::kF32}) {
    CAPTURE(cache_type_name(type));
    const Attention few_heads(16, 40, type), many_heads(128, 40, type);
    for (const int n : {1, 2, 3, 4, 5, 8, 9, 16, 17, 23, 31, 32, 33, 40}) {
      CAPTURE(n);
      check_workers(few_heads, {{1100, 0, n}});
    }
    for (const int n : {1, 6, 20, 40}) {  // of 20, some are shared and some are not
      CAPTURE(n);
      check_workers(many_heads, {{1100, 0, n}});
    }
    check_workers(few_heads, {{2040, 0, 16}});  // across a border of pieces
    check_workers(few_heads, {{9000, 0, 3}});
    check_workers(few_heads, {{10, 0, 9}, {3000, 0, 1}, {0, 0, 20}, {700, 0, 6}});
  }
}

TEST_CASE("a token's attention has the same bits whatever is run beside it") {
  const Attention attention(16, 40, kDefaultCacheType);
  constexpr size_t kWidth = 16 * kValues, kTokens = 39;
  for (const int n_workers : {1, 2, 8}) {
    CAPTURE(n_workers);
    const auto together = attention.run(n_workers, {{1010, 0, kTokens}, {5, 3, 1}});
    for (const int t : {0, 13, 14, 38}) {
      CAPTURE(t);
      const auto upto = attention.run(n_workers, {{1010, 0, t + 1}});  // it is the last one
      const auto row = static_cast<size_t>(t) * kWidth;
      CHECK(std::memcmp(&together[row], &upto[row], kWidth * sizeof(float)) == 0);
    }
    const auto alone = attention.run(n_workers, {{5, 3, 1}});
    CHECK(std::memcmp(&together[kTokens * kWidth], alone.data(), kWidth * sizeof(float)) == 0);
  }
}

}  // namespace minke::test
