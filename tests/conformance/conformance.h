// Every op on every backend against the scalar reference. An op's cases are in cases.cpp, in a
// function named after the op: one that is missing fails to link.
#pragma once

#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "runtime/cache_row.h"
#include "runtime/graph.h"

namespace minke::test {

/// A graph of one op, with random operands that live as long as it does.
class CaseGraph {
 public:
  CaseGraph(int n_tokens, unsigned seed);

  /// Random activations (n_tokens, cols), as a temporary: normal values times `scale`.
  Value activations(int cols, float scale = 1.0f);
  /// Random weights of a format.
  Value weight(DType dtype, const Shape& shape, float scale = 1.0f);
  Value positions() { return graph.input(StepInput::kPositions); }

  Graph graph;
  int n_tokens;

 private:
  std::vector<float> normal(size_t n, float scale);
  std::mt19937 random_;
  std::vector<std::unique_ptr<std::vector<std::byte>>> storage_;
};

/// Cached tokens before the step, and tokens of the step, of each sequence.
struct SequenceShape {
  int before, tokens;
};

struct OpCase {
  std::string name;
  std::vector<SequenceShape> sequences;  ///< Their tokens together are the step.
  std::function<Value(CaseGraph&)> build;
  double tolerance;   ///< Largest difference allowed, as a fraction of the largest magnitude.
  int n_latent = 0;   ///< Of a cached row; 0: no cache.
  int n_rotated = 0;  ///< The other values of a row.
  CacheType cache_type = CacheType::kF32;
};

#define MINKE_OP(name) std::vector<OpCase> cases_of_##name();
#include "runtime/op_list.inc"
#undef MINKE_OP

}  // namespace minke::test
