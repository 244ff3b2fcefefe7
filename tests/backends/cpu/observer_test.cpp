// What an observer of the CPU backend is told.
#include <doctest/doctest.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <random>

#include "backends/cpu/cpu_backend.h"
#include "runtime/graph.h"
#include "runtime/latent_cache.h"

using namespace minke;

namespace {

using Plane = std::pair<std::string, int>;
using ToldRows = std::vector<std::vector<float>>;

/// Everything that was told, by weight and plane.
struct Record {
  std::map<Plane, ToldRows> rows;
  WeightObserver observer() {
    return [this](const WeightInput& input) {
      const auto cols = static_cast<size_t>(input.weight->desc.shape.cols());
      for (int i = 0; i < input.n_rows; ++i)
        rows[{input.weight->name, input.plane}].emplace_back(input.row(i), input.row(i) + cols);
    };
  }
};

/// F32 weights of random values.
class Weights {
 public:
  Value add(Graph& graph, const char* name, const Shape& shape, DType dtype = DType::kF32) {
    std::vector<float> values(static_cast<size_t>(shape.elements()));
    for (float& value : values) value = any_(random_);
    const FormatTraits& format = *find_format(dtype);
    std::vector<std::byte> bytes(values.size() / format.block_len * format.block_bytes);
    format.encode(values.data(), nullptr, bytes.data(), values.size() / format.block_len);
    f32_[name] = std::move(values);
    bytes_.push_back(std::move(bytes));
    return graph.weight(name, {dtype, shape}, bytes_.back().data());
  }
  const float* row(const char* name, int row, int cols) const {
    return f32_.at(name).data() + static_cast<ptrdiff_t>(row) * cols;
  }

 private:
  std::mt19937 random_{7};
  std::normal_distribution<float> any_{0, 1};
  std::map<std::string, std::vector<float>> f32_;
  std::vector<std::vector<std::byte>> bytes_;
};

void run(const Graph& graph, Record& record, std::span<const int32_t> tokens,
         cpu::MlaForm form = cpu::MlaForm::kAuto, LatentCache* cache = nullptr,
         std::span<const SequenceSlice> slices = {}) {
  const auto backend =
      make_cpu_backend({.n_threads = 3, .mla_form = form, .observer = record.observer()});
  REQUIRE(backend);
  const auto plan = (*backend)->compile(graph);
  REQUIRE(plan);
  const std::vector<int32_t> positions(tokens.size());
  REQUIRE((*plan)->run({tokens, positions, tokens.first(0), slices, cache}));
}

constexpr int kHidden = 64, kFf = 32, kExperts = 5, kTopK = 2, kVocab = 9;
const int32_t kTokens[] = {3, 0, 8, 3, 5, 1};

float dot(const float* a, const float* b, int n) {
  float sum = 0;
  for (int i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

void check_near(const std::vector<float>& got, const float* expected, double tolerance) {
  for (size_t i = 0; i < got.size(); ++i)
    CHECK(std::abs(static_cast<double>(got[i] - expected[i])) <= tolerance);
}

}  // namespace

TEST_CASE("an observer sees the rows of a product, also where they are quantized for it") {
  for (const DType dtype : {DType::kF32, DType::kQ8_0}) {
    Weights weights;
    Record record;
    Graph graph(8, 8);
    const Value table = weights.add(graph, "table", Shape{kVocab, kHidden});
    const Value x = graph.get_rows(table, graph.input(StepInput::kTokens));
    const Value up = graph.matmul(x, weights.add(graph, "up", Shape{kFf, kHidden}, dtype));
    const Value down = graph.matmul(up, weights.add(graph, "down", Shape{kHidden, kFf}, dtype));
    REQUIRE(graph.finish(graph.matmul(down, weights.add(graph, "last", Shape{4, kHidden}, dtype))));
    run(graph, record, kTokens);
    REQUIRE(record.rows.size() == 3);
    const ToldRows& rows = record.rows[{"up", 0}];
    REQUIRE(rows.size() == std::size(kTokens));
    for (size_t t = 0; t < rows.size(); ++t) {
      check_near(rows[t], weights.row("table", kTokens[t], kHidden), 0);
      for (int r = 0; r < kFf; ++r) {
        const float expected = dot(rows[t].data(), weights.row("up", r, kHidden), kHidden);
        const float got = record.rows[{"down", 0}][t][static_cast<size_t>(r)];
        CHECK(std::abs(got - expected) <= (dtype == DType::kF32 ? 1e-4f : 0.5f));
      }
    }
  }
}

TEST_CASE("an observer sees each expert's own tokens") {
  Weights weights;
  Record record;
  Graph graph(8, 8);
  const Value tokens = graph.input(StepInput::kTokens);
  const Value x = graph.get_rows(weights.add(graph, "table", Shape{kVocab, kHidden}), tokens);
  const Value logits =
      graph.get_rows(weights.add(graph, "scores", Shape{kVocab, kExperts}), tokens);
  const Value route = graph.moe_route(logits, {kTopK, 1, 1, 1.0f, false});
  const Value gate = weights.add(graph, "gate", Shape{kExperts, kFf, kHidden});
  const Value up = weights.add(graph, "up", Shape{kExperts, kFf, kHidden});
  const Value down = weights.add(graph, "down", Shape{kExperts, kHidden, kFf});
  REQUIRE(graph.finish(graph.moe_ffn(x, route, gate, up, down, {kTopK})));
  run(graph, record, kTokens);
  for (int e = 0; e < kExperts; ++e) {
    std::vector<int32_t> chosen;  // the tokens for which fewer than kTopK experts score higher
    for (const int32_t token : kTokens) {
      const float* scores = weights.row("scores", token, kExperts);
      if (std::count_if(scores, scores + kExperts, [&](float s) { return s > scores[e]; }) < kTopK)
        chosen.push_back(token);
    }
    for (const char* name : {"gate", "up"}) {
      REQUIRE(record.rows[{name, e}].size() == chosen.size());
      for (size_t i = 0; i < chosen.size(); ++i)
        check_near(record.rows[{name, e}][i], weights.row("table", chosen[i], kHidden), 0);
    }
    REQUIRE(record.rows[{"down", e}].size() == chosen.size());
    for (size_t i = 0; i < chosen.size(); ++i) {
      std::vector<float> h(kFf);
      for (int r = 0; r < kFf; ++r) {
        const float* in = weights.row("table", chosen[i], kHidden);
        const float g = dot(in, weights.row("gate", e * kFf + r, kHidden), kHidden);
        h[static_cast<size_t>(r)] =
            g / (1 + std::exp(-g)) * dot(in, weights.row("up", e * kFf + r, kHidden), kHidden);
      }
      check_near(record.rows[{"down", e}][i], h.data(), 1e-2);
    }
  }
}

TEST_CASE("what a worker calls gets no threads beyond the backend's") {
  const int before = omp_get_max_threads();
  omp_set_num_threads(4);
  for (const int n_threads : {1, 2}) {
    CAPTURE(n_threads);
    Weights weights;
    Graph graph(8, 8);
    const Value table = weights.add(graph, "table", Shape{kVocab, kHidden});
    const Value x = graph.get_rows(table, graph.input(StepInput::kTokens));
    REQUIRE(graph.finish(graph.matmul(x, weights.add(graph, "up", Shape{kFf, kHidden}))));
    std::vector<int> seen;
    const auto backend =
        make_cpu_backend({.n_threads = n_threads, .observer = [&](const WeightInput&) {
                            seen.push_back(omp_get_max_threads());
                          }});
    REQUIRE(backend);
    const auto plan = (*backend)->compile(graph);
    REQUIRE(plan);
    const std::vector<int32_t> positions(std::size(kTokens));
    REQUIRE((*plan)->run({kTokens, positions, std::span(kTokens).first(0), {}, nullptr}));
    CHECK(seen == std::vector{1});
    CHECK(omp_get_max_threads() == 4);
  }
  omp_set_num_threads(before);
}

TEST_CASE("an observer sees each head's query and what it gathered") {
  constexpr int kHeads = 2, kNope = 32, kRope = 4, kRank = 32, kV = 32;
  constexpr int kQk = kNope + kRope;
  Weights weights;
  Record record;
  Graph graph(8, 8);
  const Value tokens = graph.input(StepInput::kTokens);
  const Value q = graph.get_rows(weights.add(graph, "q", Shape{kVocab, kHeads * kQk}), tokens);
  const Value kv = graph.get_rows(weights.add(graph, "kv", Shape{kVocab, kRank + kRope}), tokens);
  const Value table = graph.rope_table(graph.input(StepInput::kPositions), {1.0f, 0.1f});
  const Value norm = weights.add(graph, "norm", Shape{kRank});
  const Value stored = graph.latent_store(kv, norm, table, {0, kRank, 1e-6f});
  const Value k_b = weights.add(graph, "k_b", Shape{kHeads, kRank, kNope});
  const Value v_b = weights.add(graph, "v_b", Shape{kHeads, kV, kRank});
  REQUIRE(graph.finish(
      graph.mla_attention(q, k_b, v_b, stored, {0, kHeads, kNope, kRope, kV, kRank, 0.1f})));
  const auto backend = make_cpu_backend({.n_threads = 1});
  REQUIRE(backend);
  const auto cache = LatentCache::create({.n_layers = 1,
                                          .n_latent = kRank,
                                          .n_rotated = kRope,
                                          .type = CacheType::kF32,
                                          .n_blocks = static_cast<int>(std::size(kTokens))},
                                         **backend);
  REQUIRE(cache);
  // Every token is a sequence of its own: what it gathers is its own latent row.
  std::vector<SequenceSlice> slices;
  for (size_t t = 0; t < std::size(kTokens); ++t) {
    auto slice = (*cache)->extend((*cache)->add_sequence(), 1);
    REQUIRE(slice);
    slice->first_token = static_cast<int>(t);
    slices.push_back(*slice);
  }
  run(graph, record, kTokens, cpu::MlaForm::kAbsorbed, cache->get(), slices);
  for (int h = 0; h < kHeads; ++h) {
    const ToldRows &queries = record.rows[{"k_b", h}], &gathered = record.rows[{"v_b", h}];
    REQUIRE(queries.size() == std::size(kTokens));
    REQUIRE(gathered.size() == std::size(kTokens));
    for (size_t t = 0; t < std::size(kTokens); ++t) {
      check_near(queries[t], weights.row("q", kTokens[t], kHeads * kQk) + h * kQk, 0);
      const float* latent = weights.row("kv", kTokens[t], kRank + kRope);
      const float scale = 1 / std::sqrt(dot(latent, latent, kRank) / kRank + 1e-6f);
      std::vector<float> expected(kRank);
      for (int i = 0; i < kRank; ++i)
        expected[static_cast<size_t>(i)] = latent[i] * scale * weights.row("norm", 0, kRank)[i];
      check_near(gathered[t], expected.data(), 1e-4);
    }
  }
}
