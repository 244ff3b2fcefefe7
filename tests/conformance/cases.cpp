#include <cmath>

#include "tests/conformance/conformance.h"

namespace minke::test {
namespace {

constexpr double kFloat = 2e-5;      // sums in f32 instead of f64
constexpr double kQuantized = 0.02;  // activations rounded to 8 bits
// ... and cached rows, queries and weights of attention too. Random values average to little,
// beside which errors are large; latent_test.cpp looks closer.
constexpr double kLatent = 0.1;

const std::vector<int> kRows = {1, 2, 3, 7, 8, 9, 33};
const std::vector<DType> kFloatTypes = {DType::kF32, DType::kF16, DType::kBF16};

double tolerance(DType dtype) {
  for (const DType f : kFloatTypes)
    if (f == dtype) return kFloat;
  return kQuantized;
}

std::string label(DType dtype, int rows, int cols, int n) {
  return fmt::format("{} {}x{}, {} tokens", dtype_name(dtype), rows, cols, n);
}

std::vector<float> frequencies(int n) {
  std::vector<float> f;
  for (int i = 0; i < n; ++i)
    f.push_back(std::pow(10000.0f, -static_cast<float>(i) / static_cast<float>(n)));
  return f;
}

}  // namespace

std::vector<OpCase> cases_of_GetRows() {
  std::vector<OpCase> cases;
  for (const FormatTraits& format : formats())
    cases.push_back({label(format.dtype, 40, 256, 5),
                     {{0, 5}},
                     [&format](CaseGraph& c) {
                       return c.graph.get_rows(c.weight(format.dtype, Shape{40, 256}),
                                               c.graph.input(StepInput::kTokens));
                     },
                     0.0});
  return cases;
}

std::vector<OpCase> cases_of_RmsNorm() {
  std::vector<OpCase> cases;
  for (const int cols : {1, 15, 16, 17, 64, 2048})
    for (const float scale : {1e-4f, 1.0f, 1e4f})
      cases.push_back({fmt::format("{} columns, scale {}", cols, scale),
                       {{0, 3}},
                       [cols, scale](CaseGraph& c) {
                         return c.graph.rms_norm(c.activations(cols, scale),
                                                 c.weight(DType::kF32, Shape{cols}), 1e-6f);
                       },
                       kFloat});
  return cases;
}

std::vector<OpCase> cases_of_Add() {
  std::vector<OpCase> cases;
  for (const int cols : {1, 15, 16, 17, 100})
    cases.push_back(
        {fmt::format("{} columns", cols),
         {{0, 4}},
         [cols](CaseGraph& c) { return c.graph.add(c.activations(cols), c.activations(cols)); },
         0.0});
  return cases;
}

std::vector<OpCase> cases_of_Matmul() {
  std::vector<OpCase> cases;
  const auto add = [&](DType dtype, int rows, int cols, int n,
                       Precision precision = Precision::kDefault) {
    const bool is_high = precision == Precision::kHigh;
    cases.push_back({label(dtype, rows, cols, n) + (is_high ? ", high precision" : ""),
                     {{0, n}},
                     [=](CaseGraph& c) {
                       return c.graph.matmul(c.activations(cols),
                                             c.weight(dtype, Shape{rows, cols}), {precision});
                     },
                     is_high ? 1e-4 : tolerance(dtype)});
  };
  for (const FormatTraits& format : formats())
    for (const int n : kRows) add(format.dtype, 37, 512, n);
  for (const DType dtype : kFloatTypes)
    for (const int cols : {1, 15, 16, 17, 100}) add(dtype, 5, cols, 4);
  for (const int n : {1, 6, 48, 129}) add(DType::kQ5_0, 70, 1408, n);
  for (const DType dtype : {DType::kQ6_K, DType::kQ8_0})
    for (const int n : {1, 4, 5, 48}) add(dtype, 5000, 256, n, Precision::kHigh);
  return cases;
}

std::vector<OpCase> cases_of_RopeTable() {
  return {{"a long way in",
           {{100000, 5}, {0, 2}},
           [](CaseGraph& c) { return c.graph.rope_table(c.positions(), frequencies(32)); },
           1e-6}};
}

std::vector<OpCase> cases_of_Rope() {
  std::vector<OpCase> cases;
  for (const int offset : {0, 6, 128})
    cases.push_back(
        {fmt::format("3 heads, from {} on", offset),
         {{7, 4}},
         [offset](CaseGraph& c) {
           const Value table = c.graph.rope_table(c.positions(), frequencies(8));
           return c.graph.rope(c.activations(3 * (offset + 16)), table, {3, offset + 16, offset});
         },
         1e-6});
  return cases;
}

std::vector<OpCase> cases_of_LatentStore() {
  std::vector<OpCase> cases;
  for (const CacheType type : cache_types())
    cases.push_back({std::string(cache_type_name(type)),
                     {{63, 3}, {0, 2}},
                     [](CaseGraph& c) {
                       const Value table = c.graph.rope_table(c.positions(), frequencies(16));
                       return c.graph.latent_store(c.activations(96),
                                                   c.weight(DType::kF32, Shape{64}), table,
                                                   {0, 64, 1e-6f});
                     },
                     kFloat,
                     64,
                     32,
                     type});
  return cases;
}

std::vector<OpCase> cases_of_MlaAttention() {
  std::vector<OpCase> cases;
  const auto add = [&](DType weights, CacheType cache, std::vector<SequenceShape> sequences,
                       int heads, int rank = 64, int rope = 32, double tolerance = 0) {
    std::string name =
        fmt::format("{} weights, {} cache of {} + {}, {} heads:", dtype_name(weights),
                    cache_type_name(cache), rank, rope, heads);
    for (const auto& s : sequences) name += fmt::format(" {}+{}", s.before, s.tokens);
    cases.push_back({name, std::move(sequences),
                     [=](CaseGraph& c) {
                       const int nope = 32, v = 32;
                       const Value table = c.graph.rope_table(c.positions(), frequencies(rope / 2));
                       const Value stored = c.graph.latent_store(c.activations(rank + rope),
                                                                 c.weight(DType::kF32, Shape{rank}),
                                                                 table, {0, rank, 1e-6f});
                       return c.graph.mla_attention(
                           c.activations(heads * (nope + rope)),
                           c.weight(weights, Shape{heads, rank, nope}, 0.2f),
                           c.weight(weights, Shape{heads, v, rank}, 0.2f), stored,
                           {0, heads, nope, rope, v, rank, 0.15f});
                     },
                     tolerance > 0                                        ? tolerance
                     : weights == DType::kF32 && cache == CacheType::kF32 ? 5e-5
                                                                          : kLatent,
                     rank, rope, cache});
  };
  for (const CacheType cache : cache_types()) {
    add(DType::kF32, cache, {{0, 1}}, 4);
    add(DType::kF32, cache, {{70, 3}, {0, 5}, {129, 1}}, 4);
    add(DType::kF32, cache, {{70, 3}}, 2, 48, 18);  // blocks that are not full
    add(DType::kF32, cache, {{70, 3}}, 2, 512, 64);
  }
  add(DType::kF32, CacheType::kF32, {{0, 130}}, 4);
  // Queries and outputs of 16 bits.
  for (const int n : {1, 20}) add(DType::kQ8_0, CacheType::kF32, {{20, n}}, 4, 64, 32, 3e-4);
  add(DType::kF32, CacheType::kF32, {{300, 70}}, 3);
  add(DType::kF32, CacheType::kF32, {{1500, 1}, {5, 1}}, 16);
  add(DType::kF32, CacheType::kF32, {{1, 2}}, 128);
  add(DType::kQ8_0, CacheType::kF16, {{70, 3}, {0, 1}}, 4);
  add(DType::kQ5_0, CacheType::kF16, {{20, 40}}, 4);
  return cases;
}

std::vector<OpCase> cases_of_Swiglu() {
  std::vector<OpCase> cases;
  for (const int cols : {1, 15, 16, 17, 1408})
    for (const float scale : {1.0f, 60.0f})
      cases.push_back({fmt::format("{} columns, scale {}", cols, scale),
                       {{0, 3}},
                       [cols, scale](CaseGraph& c) {
                         return c.graph.swiglu(c.activations(cols, scale), c.activations(cols));
                       },
                       kFloat});
  return cases;
}

std::vector<OpCase> cases_of_MoeRoute() {
  std::vector<OpCase> cases;
  const auto add = [&](int experts, MoeRouteAttrs attrs) {
    cases.push_back(
        {fmt::format("{} of {} experts, {} of {} groups{}", attrs.top_k, experts,
                     attrs.n_groups_used, attrs.n_groups, attrs.normalize ? ", normalised" : ""),
         {{0, 20}},
         [=](CaseGraph& c) { return c.graph.moe_route(c.activations(experts, 2.0f), attrs); },
         1e-6});
  };
  add(64, {6, 1, 1, 1.0f, false});
  add(160, {6, 8, 3, 16.0f, false});
  add(16, {3, 8, 3, 2.5f, true});
  add(4, {4, 1, 1, 1.0f, false});
  return cases;
}

std::vector<OpCase> cases_of_MoeFfn() {
  std::vector<OpCase> cases;
  const auto add = [&](DType gate, DType down, int n, int experts = 16, int ff = 96) {
    cases.push_back({fmt::format("{} and {}, {} tokens", dtype_name(gate), dtype_name(down), n),
                     {{0, n}},
                     [=](CaseGraph& c) {
                       const int hidden = 256;
                       const Value route =
                           c.graph.moe_route(c.activations(experts, 2.0f), {4, 8, 3, 2.5f, false});
                       return c.graph.moe_ffn(c.activations(hidden), route,
                                              c.weight(gate, Shape{experts, ff, hidden}, 0.1f),
                                              c.weight(gate, Shape{experts, ff, hidden}, 0.1f),
                                              c.weight(down, Shape{experts, hidden, ff}, 0.1f),
                                              {4});
                     },
                     gate == DType::kF32 ? kFloat : 2 * kQuantized});
  };
  for (const int n : kRows) {
    add(DType::kF32, DType::kF32, n);
    add(DType::kQ4_K, DType::kQ5_0, n);
  }
  add(DType::kQ6_K, DType::kQ8_0, 5);
  add(DType::kBF16, DType::kQ8_0, 5);
  add(DType::kQ8_0, DType::kF16, 5);
  add(DType::kQ4_K, DType::kQ5_0, 48, 32, 352);  // Some experts with few tokens, some with many.
  return cases;
}

}  // namespace minke::test
