#include "convert/estimate.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <map>
#include <random>
#include <vector>

namespace minke::convert {
namespace {

constexpr size_t kSample = 4096;  // values
constexpr auto kLongEnough = std::chrono::milliseconds(5);

double seconds_a_value(const FormatTraits& format) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0.0f, 0.02f);
  std::vector<float> values(kSample);
  for (float& value : values) value = normal(random);
  std::vector<std::byte> blocks(kSample / format.block_len * format.block_bytes);
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  size_t n_values = 0;
  do {
    format.encode(values.data(), nullptr, blocks.data(), kSample / format.block_len);
    n_values += kSample;
  } while (Clock::now() - start < kLongEnough);
  const std::chrono::duration<double> took = Clock::now() - start;
  return took.count() / static_cast<double>(n_values);
}

}  // namespace

double estimate_seconds(std::span<const PlannedTensor> tensors, int n_threads) {
  std::map<DType, double> n_values;
  for (const PlannedTensor& tensor : tensors) {
    const bool is_copy_of_all = std::ranges::all_of(
        tensor.slabs, [&](const Slab& slab) { return is_copy(slab, tensor.desc.dtype); });
    if (is_copy_of_all) continue;
    n_values[tensor.desc.dtype] += static_cast<double>(tensor.desc.shape.elements());
  }
  double seconds = 0;
  for (const auto& [dtype, n] : n_values) seconds += n * seconds_a_value(*find_format(dtype));
  return seconds / n_threads;
}

}  // namespace minke::convert
