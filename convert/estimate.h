// How long a conversion will take, before it begins.
#pragma once

#include <span>

#include "convert/tensor_plan.h"

namespace minke::convert {

/// Seconds that n_threads encoding threads need, from the rate at which this processor encodes
/// some random values in each of the plan's types; takes some milliseconds a type. Where the disk
/// is slower than the threads, the disk's time counts instead.
double estimate_seconds(std::span<const PlannedTensor> tensors, int n_threads);

}  // namespace minke::convert
