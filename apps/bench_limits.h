// Where the limits are: what this machine can do, and what a test asks of it.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "apps/bench_test.h"
#include "models/model.h"
#include "runtime/result.h"

namespace minke::apps {

/// Measured figures of all threads together.
struct MachineLimits {
  double bytes_per_second = 0;
  double int8_ops_per_second = 0;  ///< A multiply-add counts as two.
  std::string instruction;         ///< Of the int8 loop.
};

/// Keeps the memory that is read between measurements.
class LimitMeter {
 public:
  /// `isa` is the CPU backend's, without "cpu:". Errors: kMemory.
  static Result<std::unique_ptr<LimitMeter>> create(std::string isa);
  ~LimitMeter();

  /// The best of several passes over 1 GiB and of several runs of the int8 loop, with n_threads
  /// threads. Takes about half a second.
  MachineLimits measure(int n_threads) const;

 private:
  LimitMeter(std::string isa, std::byte* memory) : isa_(std::move(isa)), memory_(memory) {}
  double read_seconds(int n_threads) const;
  double int8_ops_per_second(int n_threads) const;

  std::string isa_;
  std::byte* memory_;
};

/// What a test cannot do without.
struct TestCost {
  double bytes = 0;  ///< Weights and cached rows, each read once a pass.
  double int8_ops =
      0;  ///< Of the matrix products, two a multiply-add, in attention's cheaper form.
};

/// Of a step that reads n_tokens tokens behind n_past others and gives n_outputs rows of logits,
/// for each of n_sequences. Of the experts it counts those that so many tokens choose on average,
/// if each choice is as likely: E * (1 - (1 - k/E)^n).
TestCost step_cost(const Model& model, CacheType cache_type, int n_past, int n_tokens,
                   int n_outputs, int n_sequences = 1);
/// The sum over a test's steps.
TestCost test_cost(const Model& model, const BenchCase& bench_case);

}  // namespace minke::apps
