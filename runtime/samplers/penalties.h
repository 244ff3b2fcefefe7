// Samplers that look at the tokens so far: repetition, presence and frequency penalties, and DRY.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "runtime/sampler.h"

namespace minke {

/// Counts of the tokens in the last n of a growing sequence; constant time a token.
class RecentTokens {
 public:
  /// last_n: -1 all, 0 none.
  explicit RecentTokens(int last_n) : last_n_(last_n) {}
  /// Call after `token` was appended to `history`.
  void push(std::span<const int32_t> history);
  const std::unordered_map<int32_t, int>& counts() const noexcept { return counts_; }

 private:
  int last_n_;
  std::unordered_map<int32_t, int> counts_;
};

/// A token seen before has its logit divided (if positive, else multiplied) by the repetition
/// penalty (arXiv 1909.05858); then presence, and frequency times its count, are subtracted.
void apply_penalties(const RecentTokens& recent, const SamplingParams& params,
                     std::span<float> logits);

/// "Don't Repeat Yourself": a token that would prolong a repetition of the last tokens by one is
/// lowered by multiplier * base^(length - allowed_length), where length >= allowed_length is how
/// many of the last tokens already repeat. A repetition does not reach across a breaker. Linear in
/// the number of tokens looked at.
void apply_dry(std::span<const int32_t> history, const std::unordered_set<int32_t>& breakers,
               const SamplingParams& params, std::span<float> logits);

}  // namespace minke
