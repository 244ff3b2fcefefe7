// The tokens that are still in the running, with their logits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

namespace minke {

struct Candidate {
  int32_t id;
  float logit;
};

/// Best first; equal logits in the order of their ids, so that the order never depends on the sort.
inline bool better(const Candidate& a, const Candidate& b) noexcept {
  return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

/// A set that samplers shrink and reorder. It is never empty, and its logits are finite.
class Candidates {
 public:
  /// Keeps the finite logits; `logits` holds no NaN and no +Inf.
  void assign(std::span<const float> logits);

  std::span<Candidate> items() noexcept { return items_; }
  std::span<const Candidate> items() const noexcept { return items_; }
  size_t size() const noexcept { return items_.size(); }

  /// Puts the best min(n, size()) in front, in order. Sorting a few of many is cheap.
  void sort_front(size_t n);
  /// How many of the front are in order.
  size_t sorted() const noexcept { return sorted_; }
  const Candidate& best();

  /// Drops all but the first n (n >= 1); the front stays in order.
  void keep_front(size_t n);
  /// Drops the first n (n < size()); the whole set must be in order.
  void drop_front(size_t n);
  /// Keeps those with logit >= limit, and at least the best one.
  void keep_above(float limit);
  /// The samplers that reorder by another measure replace the whole set.
  void replace(std::vector<Candidate> items);

  /// Sum of exp(logit - best().logit), in ascending position.
  double total();

 private:
  std::vector<Candidate> items_;
  size_t sorted_ = 0;
};

/// Random numbers that are the same on every platform, which std's distributions are not.
class SamplerRandom {
 public:
  explicit SamplerRandom(uint64_t seed) : engine_(seed) {}
  /// In [0, 1), 53 random bits.
  double uniform() { return static_cast<double>(engine_() >> 11) * 0x1.0p-53; }

 private:
  std::mt19937_64 engine_;
};

/// Draws by the softmax of the logits and gives the position of the chosen one in items().
size_t draw(Candidates& candidates, SamplerRandom& random);

}  // namespace minke
