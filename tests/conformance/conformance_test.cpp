#include "tests/conformance/conformance.h"

#include <doctest/doctest.h>

#include <cmath>
#include <iostream>
#include <numeric>

#include "backends/cpu/cpu_backend.h"
#include "backends/cpu/isa.h"
#include "runtime/latent_cache.h"
#include "runtime/ops/op.h"
#include "runtime/reference_backend.h"

namespace minke::test {

CaseGraph::CaseGraph(int tokens, unsigned seed)
    : graph(tokens, tokens), n_tokens(tokens), random_(seed) {}

std::vector<float> CaseGraph::normal(size_t n, float scale) {
  std::normal_distribution<float> distribution(0.0f, scale);
  std::vector<float> values(n);
  for (float& v : values) v = distribution(random_);
  return values;
}

Value CaseGraph::weight(DType dtype, const Shape& shape, float scale) {
  const TensorDesc desc{dtype, shape};
  const std::vector<float> values = normal(static_cast<size_t>(shape.elements()), scale);
  storage_.push_back(std::make_unique<std::vector<std::byte>>(desc.bytes()));
  const FormatTraits* format = find_format(dtype);
  format->encode(values.data(), nullptr, storage_.back()->data(),
                 values.size() / format->block_len);
  return graph.weight("weight", desc, storage_.back()->data());
}

Value CaseGraph::activations(int cols, float scale) {
  return graph.get_rows(weight(DType::kF32, Shape{n_tokens, cols}, scale),
                        graph.input(StepInput::kTokens));
}

namespace {

constexpr unsigned kSeed = 20;

/// Builds a case's graph, with its random weights; all backends run the same one.
std::unique_ptr<CaseGraph> build_case(const OpCase& op_case) {
  int n_tokens = 0;
  for (const SequenceShape& s : op_case.sequences) n_tokens += s.tokens;
  auto c = std::make_unique<CaseGraph>(n_tokens, kSeed);
  const Status finished = c->graph.finish(op_case.build(*c));
  REQUIRE_MESSAGE(finished, (finished ? "" : finished.error().message));
  return c;
}

/// Runs a case on a backend: fills the cache with random rows, then runs the step once.
std::vector<float> run_case(const OpCase& op_case, const CaseGraph& c, Backend& backend) {
  const int n_tokens = c.n_tokens;
  int n_blocks = 1;
  for (const SequenceShape& s : op_case.sequences)
    n_blocks += (s.before + s.tokens) / LatentCache::kBlockTokens + 1;
  std::unique_ptr<LatentCache> cache;
  if (op_case.n_latent != 0) {
    auto made = LatentCache::create({.n_layers = 1,
                                     .n_latent = op_case.n_latent,
                                     .n_rotated = op_case.n_rotated,
                                     .type = op_case.cache_type,
                                     .n_blocks = n_blocks},
                                    backend);
    REQUIRE(made);
    cache = std::move(*made);
  }
  std::vector<int32_t> tokens(static_cast<size_t>(n_tokens)), positions;
  std::iota(tokens.begin(), tokens.end(), 0);
  std::vector<SequenceSlice> slices;
  std::mt19937 random(kSeed + 1);
  std::normal_distribution<float> normal;
  for (const SequenceShape& s : op_case.sequences) {
    SequenceSlice slice{};
    if (cache != nullptr) {
      const auto sequence = cache->add_sequence();
      const auto before = cache->extend(sequence, s.before);
      REQUIRE(before);
      std::vector<float> row(cache->row_layout().n_values());
      for (int i = 0; i < s.before; ++i) {
        for (float& v : row) v = normal(random);
        cache->write_row(0, *before, i, row.data());
      }
      slice = cache->extend(sequence, s.tokens).value();
    }
    slice.first_token = static_cast<int>(positions.size());
    slice.n_tokens = s.tokens;
    slice.first_position = s.before;
    slices.push_back(slice);
    for (int i = 0; i < s.tokens; ++i) positions.push_back(s.before + i);
  }
  auto plan = backend.compile(c.graph);
  REQUIRE(plan);
  const auto result = (*plan)->run({tokens, positions, tokens, slices, cache.get()});
  REQUIRE(result);
  return {result->begin(), result->end()};
}

/// The largest difference as a fraction of the largest magnitude; infinite if any is not a number.
double difference(const std::vector<float>& got, const std::vector<float>& expected) {
  REQUIRE(got.size() == expected.size());
  double largest = 1e-30, worst = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    if (!std::isfinite(got[i])) return INFINITY;
    largest = std::max(largest, std::fabs(static_cast<double>(expected[i])));
    worst =
        std::max(worst, std::fabs(static_cast<double>(got[i]) - static_cast<double>(expected[i])));
  }
  return worst / largest;
}

struct Column {
  std::string title;
  std::unique_ptr<Backend> backend;
};

std::vector<Column> all_backends() {
  std::vector<Column> columns;
  const auto add = [&](const CpuOptions& options, const char* suffix) {
    auto backend = make_cpu_backend(options);
    REQUIRE(backend);
    columns.push_back({(*backend)->name() + suffix, std::move(*backend)});
  };
  for (const cpu::KernelTable* kernels : cpu::available_kernels()) {
    add({.n_threads = 1, .isa = kernels->name, .mla_form = cpu::MlaForm::kAbsorbed}, " absorbed");
    add({.n_threads = 3, .isa = kernels->name, .mla_form = cpu::MlaForm::kRebuilt},
        " rebuilt, 3 threads");
  }
  return columns;
}

}  // namespace

TEST_CASE("every op on every backend agrees with the reference") {
  const std::unique_ptr<Backend> reference = make_reference_backend();
  const std::vector<Column> columns = all_backends();
  using Cases = std::vector<OpCase> (*)();
  const Cases all_cases[] = {
#define MINKE_OP(name) cases_of_##name,
#include "runtime/op_list.inc"
#undef MINKE_OP
  };
  std::vector<std::string> matrix(columns.size());
  std::cout << "conformance: largest difference of each op, as a fraction of the largest value\n";
  std::string header;
  for (int op = 0; op < kOpCount; ++op) {
    header += fmt::format(" {:>13}", op_name(static_cast<Op>(op)));
    const std::vector<OpCase> cases = all_cases[op]();
    std::vector<double> worst(columns.size());
    for (const OpCase& op_case : cases) {
      const std::unique_ptr<CaseGraph> graph = build_case(op_case);
      const std::vector<float> expected = run_case(op_case, *graph, *reference);
      for (size_t i = 0; i < columns.size(); ++i) {
        const double d = difference(run_case(op_case, *graph, *columns[i].backend), expected);
        worst[i] = std::max(worst[i], d);
        CHECK_MESSAGE(d <= op_case.tolerance, op_name(static_cast<Op>(op)), " on ",
                      columns[i].title, ": ", op_case.name, ", seed ", kSeed, ": ", d);
      }
    }
    for (size_t i = 0; i < columns.size(); ++i) matrix[i] += fmt::format(" {:>13.1e}", worst[i]);
  }
  std::cout << fmt::format("{:<36}{}\n", "", header);
  for (size_t i = 0; i < columns.size(); ++i)
    std::cout << fmt::format("{:<36}{}\n", columns[i].title, matrix[i]);
}

}  // namespace minke::test
