// Types chosen by measurement: where a byte of the file saves most of the model's predictions.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "convert/imatrix.h"
#include "convert/tensor_plan.h"
#include "quant/format.h"
#include "runtime/result.h"

namespace minke::convert {

/// How large the weights of a file may be: as a whole, or for each of them.
struct SizeBudget {
  uint64_t bytes = 0;          ///< 0: bits_per_weight counts.
  double bits_per_weight = 0;  ///< Over all weights, norms and router with them.

  uint64_t bytes_for(uint64_t n_weights) const noexcept;
};

/// "auto:4.5" (bits a weight), "auto:9.5GiB", "auto:20MiB"; nullopt if the name does not begin with
/// "auto:". Errors: kUsage.
Result<std::optional<SizeBudget>> parse_size_budget(std::string_view type);

/// One way to store a tensor.
struct TypeOption {
  DType dtype = DType::kF32;
  uint64_t bytes = 0;
  double error = 0;  ///< The expected KL divergence that it adds to the model's predictions.
};

/// Of all ways to store a tensor those that are worth it at some price of a byte, from the smallest
/// to the largest: the lower convex hull over bytes. Not empty if `options` is not.
std::vector<TypeOption> worthwhile(std::vector<TypeOption> options);

/// The choice, one index a tensor, that leaves the least sum of errors where all together have at
/// most `bytes`: each byte goes where it saves most, until nothing that is left fits. Each tensor's
/// options are worthwhile() ones. nullopt if even the smallest are too large.
std::optional<std::vector<size_t>> choose_options(std::span<const std::vector<TypeOption>> tensors,
                                                  uint64_t bytes);

/// What encoding loses of what comes out of a matrix: squared errors by squared values, both
/// weighted by the importance of their column.
struct RelativeError {
  double lost = 0;
  double all = 0;

  /// `importance` (cols) of each of the rows that `values` and `decoded` hold; empty: all equal.
  void add(std::span<const float> values, std::span<const float> decoded,
           std::span<const float> importance) noexcept;
  double share() const noexcept { return all > 0 ? lost / all : 0; }
};

/// The ways to store one tensor, measured on some of its rows; `sensitivity` is the KL divergence
/// that a relative error of 1 would cause if it grew as small ones do. Errors: kIo, kContent.
Result<std::vector<TypeOption>> measure_options(const PlannedTensor& tensor, double sensitivity);

}  // namespace minke::convert
