// Speculation without a draft model: guesses what comes next from what came after the same tokens
// before. Known as prompt lookup decoding (Saxena 2023).
#pragma once

#include <array>
#include <span>
#include <vector>

#include "models/tokenizer.h"
#include "runtime/result.h"

namespace minke {

/// Guessed tokens are run together with the last one of the answer, in one step, and those that the
/// model would have chosen itself are kept. The answer is the same as without.
struct Speculation {
  bool on = false;
  int draft_max = 16;  ///< Tokens guessed at a time at most.
  int draft_min = 0;   ///< Where there is a guess, so many are taken even if they may not pay.
  int ngram_size = 2;  ///< Tokens that must have come in this order before.
};

/// Each value by itself. Errors: kUsage for one out of range.
Status check_ranges(const Speculation& speculation);
/// Errors: those of check_ranges(), and kUsage for values that contradict each other.
Status check(const Speculation& speculation);

/// What a step runs, and how many tokens it is expected to give.
struct StepOutlook {
  int rows = 0;
  double tokens = 0;
};

/// Follows one answer. Its last tokens are looked for in all that stands before them, and what came
/// after the longest match, the latest of equals, is the guess. Each guess is judged, also those
/// that nobody used: the share that was right, by the length of the match, is the chance of the
/// next.
class NgramDrafter {
 public:
  explicit NgramDrafter(const Speculation& speculation);

  /// Prompt and answer so far; since the last call one token was added.
  void update(std::span<const TokenId> context);
  /// Adds to `draft` what `context` (that of the last update) may go on with: as many tokens, at
  /// most n_most, as make the step's tokens a second more. Nothing follows the token `end`, so it
  /// is not guessed. Brings the outlook up to date.
  void draft(std::span<const TokenId> context, TokenId end, int n_most, StepOutlook& step,
             std::vector<TokenId>& draft) const;

 private:
  /// How often guesses after matches of some length were right; older ones count less.
  struct Record {
    double right, all;
  };
  static constexpr size_t kLengths = 6;  ///< 1, 2-3, 4-7, 8-15, 16-31, 32 and more.
  static size_t length_class(size_t length) noexcept;
  void find(std::span<const TokenId> context) noexcept;

  Speculation speculation_;
  size_t next_ = 0;    ///< Index of the token that is the guess; 0: none.
  size_t length_ = 0;  ///< Of the match before it.
  std::array<Record, kLengths> records_;
};

}  // namespace minke
