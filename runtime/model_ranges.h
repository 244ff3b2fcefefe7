// What the numbers of a DeepSeek-V2 model may be: one table, so that a file that convert writes is
// a file that models/ reads. The bounds are far from any model of the family; they keep every
// product of two of these numbers within 64 bits and what is made from them within reason.
#pragma once

#include <cstdint>

namespace minke {

/// From low to high, both included; of fractions that leaves out NaN and infinities.
template <class T>
struct Range {
  T low, high;
  constexpr bool contains(T value) const noexcept { return value >= low && value <= high; }
};
using IntRange = Range<int64_t>;
using NumberRange = Range<double>;

namespace ranges {

inline constexpr IntRange kLayers{1, 1024};
inline constexpr IntRange kContext{1, 1 << 24};
inline constexpr IntRange kHidden{1, 1 << 20};
inline constexpr IntRange kFeedForward{1, 1 << 20};  ///< Also of one expert.
inline constexpr IntRange kVocab{1, 1 << 19};
inline constexpr IntRange kMerges{0, 1 << 20};  ///< Several pairs may make the same token.

inline constexpr IntRange kHeads{1, 4096};
inline constexpr IntRange kHeadDim{1, 2048};       ///< Of one part of a head: nope, rope or value.
inline constexpr IntRange kQueryRank{0, 1 << 16};  ///< 0: one full query projection.
inline constexpr IntRange kLatentRank{1, 1 << 16};

inline constexpr IntRange kExperts{1, 8192};
/// With kFeedForward, all shared experts together have a width that fits an int.
inline constexpr IntRange kSharedExperts{0, 1024};

// A file holds these as F32. Every bound is an F32 number, and not inside of its decimal: what is
// in range before it is rounded to F32 is in range after it.
inline constexpr NumberRange kRmsEps{1e-12f, 0.1f};
inline constexpr NumberRange kExpertScale{1e-6f, 1e6f};
inline constexpr NumberRange kRopeTheta{1.01f, 1e10f};
inline constexpr NumberRange kYarnFactor{1, 1e4f};
inline constexpr NumberRange kYarnLogMultiplier{0, 10};  ///< 0.1 * mscale_all_dim
inline constexpr NumberRange kYarnBeta{1e-4f, 1e6f};

}  // namespace ranges
}  // namespace minke
