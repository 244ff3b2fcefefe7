#include "runtime/samplers/penalties.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace minke {

void RecentTokens::push(std::span<const int32_t> history) {
  if (last_n_ == 0 || history.empty()) return;
  ++counts_[history.back()];
  if (last_n_ < 0) return;
  const auto n = static_cast<size_t>(last_n_);
  if (history.size() <= n) return;
  const auto leaving = counts_.find(history[history.size() - 1 - n]);
  if (--leaving->second == 0) counts_.erase(leaving);
}

void apply_penalties(const RecentTokens& recent, const SamplingParams& params,
                     std::span<float> logits) {
  for (const auto& [token, count] : recent.counts()) {
    float& logit = logits[static_cast<size_t>(token)];
    logit = logit > 0 ? logit / params.repeat_penalty : logit * params.repeat_penalty;
    logit -= params.presence_penalty + params.frequency_penalty * static_cast<float>(count);
  }
}

namespace {

/// z[i] = how many tokens from i on equal the tokens from 0 on (Gusfield's Z algorithm); z[0] = 0.
std::vector<size_t> prefix_matches(std::span<const int32_t> tokens) {
  std::vector<size_t> z(tokens.size(), 0);
  size_t left = 0, right = 0;  // the furthest match found so far is [left, right)
  for (size_t i = 1; i < tokens.size(); ++i) {
    if (i < right) z[i] = std::min(right - i, z[i - left]);
    while (i + z[i] < tokens.size() && tokens[z[i]] == tokens[i + z[i]]) ++z[i];
    if (i + z[i] > right) {
      left = i;
      right = i + z[i];
    }
  }
  return z;
}

}  // namespace

void apply_dry(std::span<const int32_t> history, const std::unordered_set<int32_t>& breakers,
               const SamplingParams& params, std::span<float> logits) {
  if (params.dry_penalty_last_n >= 0) {
    const auto n = std::min(history.size(), static_cast<size_t>(params.dry_penalty_last_n));
    history = history.last(n);
  }
  const std::vector<int32_t> reversed(history.rbegin(), history.rend());  // newest first
  const auto breaker = std::find_if(reversed.begin(), reversed.end(),
                                    [&](int32_t t) { return breakers.contains(t); });
  const auto reach = static_cast<size_t>(breaker - reversed.begin());
  const auto allowed = static_cast<size_t>(params.dry_allowed_length);
  if (reach < allowed) return;

  // A match at i says that the `z[i]` newest tokens stood there before; reversed[i - 1] is what
  // came after them, and would prolong the repetition.
  const std::vector<size_t> z = prefix_matches(reversed);
  std::unordered_map<int32_t, size_t> longest;
  for (size_t i = 1; i < reversed.size(); ++i) {
    const size_t length = std::min(z[i], reach);
    if (length < allowed) continue;
    size_t& known = longest[reversed[i - 1]];
    known = std::max(known, length);
  }
  constexpr double kMost = 1e30;  // the penalty grows without limit, a float does not
  for (const auto& [token, length] : longest) {
    const double grown =
        std::pow(static_cast<double>(params.dry_base), static_cast<double>(length - allowed));
    const double penalty = std::min(static_cast<double>(params.dry_multiplier) * grown, kMost);
    logits[static_cast<size_t>(token)] -= static_cast<float>(penalty);
  }
}

}  // namespace minke
