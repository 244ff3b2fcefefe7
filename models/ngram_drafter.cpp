#include "models/ngram_drafter.h"

#include <algorithm>
#include <bit>

namespace minke {
namespace {

constexpr size_t kLongestMatch = 32;  // Longer ones are as good.

// Time of each further row of a step, as part of that of a step with one row. Measured: 0.35 to 0.5
// (CONTRIBUTING.md, "Guesses must pay").
constexpr double kRowCost = 0.5;

// What is known before an answer has shown it: shares of right guesses in edited and new code and
// prose, in classes of lengths; they weigh as much as kKnown guesses.
constexpr std::array kUsuallyRight = {0.15, 0.4, 0.65, 0.8, 0.9, 0.95};
constexpr double kKnown = 4;
constexpr double kKeep = 0.95;  // How much each guess fades with the next one of its class.

}  // namespace

Status check_ranges(const Speculation& s) {
  constexpr int kMost = 31;
  if (s.draft_max < 1 || s.draft_max > kMost)
    return fail(Errc::kUsage, "draft_max must be from 1 to {} (got {})", kMost, s.draft_max);
  if (s.draft_min < 0 || s.draft_min > kMost)
    return fail(Errc::kUsage, "draft_min must be from 0 to {} (got {})", kMost, s.draft_min);
  if (s.ngram_size < 1 || s.ngram_size > static_cast<int>(kLongestMatch))
    return fail(Errc::kUsage, "spec_ngram_size_n must be from 1 to {} (got {})", kLongestMatch,
                s.ngram_size);
  return {};
}

Status check(const Speculation& s) {
  MINKE_TRY(check_ranges(s));
  if (s.draft_min > s.draft_max)
    return fail(Errc::kUsage, "draft_min must be at most draft_max, which is {} (got {})",
                s.draft_max, s.draft_min);
  return {};
}

NgramDrafter::NgramDrafter(const Speculation& speculation) : speculation_(speculation) {
  static_assert(kUsuallyRight.size() == kLengths);
  for (size_t i = 0; i < kLengths; ++i) records_[i] = {kKnown * kUsuallyRight[i], kKnown};
}

size_t NgramDrafter::length_class(size_t length) noexcept {
  return std::min(static_cast<size_t>(std::bit_width(length)), kLengths) - 1;
}

void NgramDrafter::update(std::span<const TokenId> context) {
  if (next_ != 0) {
    const bool right = context[next_] == context.back();
    Record& record = records_[length_class(length_)];
    record = {kKeep * record.right + (right ? 1 : 0), kKeep * record.all + 1};
    if (right) {
      ++next_;
      ++length_;
      return;
    }
  }
  find(context);
}

void NgramDrafter::find(std::span<const TokenId> context) noexcept {
  next_ = length_ = 0;
  const size_t n = context.size();
  for (size_t end = n - 1; end > 0 && length_ < kLongestMatch; --end) {
    if (context[end - 1] != context[n - 1]) continue;
    size_t length = 1;
    while (length < std::min(end, kLongestMatch) &&
           context[end - 1 - length] == context[n - 1 - length])
      ++length;
    if (length <= length_) continue;
    next_ = end;
    length_ = length;
  }
  if (length_ < static_cast<size_t>(speculation_.ngram_size)) next_ = length_ = 0;
}

void NgramDrafter::draft(std::span<const TokenId> context, TokenId end, int n_most,
                         StepOutlook& step, std::vector<TokenId>& draft) const {
  if (next_ == 0) return;
  double used = 1;  // The chance that all tokens so far are right.
  for (int i = 0; i < std::min(n_most, speculation_.draft_max); ++i) {
    const auto ahead = static_cast<size_t>(i);
    // Beyond the end of the context it goes on as it did after the match.
    const TokenId guess = context[next_ + ahead % (context.size() - next_)];
    if (guess == end) return;
    const Record& record = records_[length_class(length_ + ahead)];
    used *= record.right / record.all;
    const double step_cost = 1 + kRowCost * (step.rows - 1);
    const bool pays = used * step_cost > kRowCost * step.tokens;
    if (!pays && i >= speculation_.draft_min) return;
    draft.push_back(guess);
    ++step.rows;
    step.tokens += used;
  }
}

}  // namespace minke
