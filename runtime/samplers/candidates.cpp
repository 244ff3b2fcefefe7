#include "runtime/samplers/candidates.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "runtime/result.h"

namespace minke {

void Candidates::assign(std::span<const float> logits) {
  items_.clear();
  items_.reserve(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) {
    if (std::isfinite(logits[i])) items_.push_back({static_cast<int32_t>(i), logits[i]});
  }
  sorted_ = 0;
}

void Candidates::sort_front(size_t n) {
  n = std::min(n, items_.size());
  if (n <= sorted_) return;
  const auto begin = items_.begin() + static_cast<ptrdiff_t>(sorted_);
  const auto end = items_.begin() + static_cast<ptrdiff_t>(n);
  if (end != items_.end()) std::nth_element(begin, end, items_.end(), better);
  std::sort(begin, end, better);
  sorted_ = n;
}

const Candidate& Candidates::best() {
  MINKE_CHECK(!items_.empty(), "no candidate is left");
  if (sorted_ == 0) {  // a scan, not a sort: many samplers need the maximum alone
    std::iter_swap(items_.begin(), std::min_element(items_.begin(), items_.end(), better));
    sorted_ = 1;
  }
  return items_.front();
}

void Candidates::keep_front(size_t n) {
  MINKE_CHECK(n >= 1, "a sampler keeps one candidate at least");
  if (n >= items_.size()) return;
  items_.resize(n);
  sorted_ = std::min(sorted_, n);
}

void Candidates::drop_front(size_t n) {
  MINKE_CHECK(n < items_.size() && sorted_ == items_.size(), "dropping {} of {}", n, items_.size());
  items_.erase(items_.begin(), items_.begin() + static_cast<ptrdiff_t>(n));
  sorted_ = items_.size();
}

void Candidates::keep_above(float limit) {
  const Candidate first = best();
  const size_t in_order = sorted_;
  size_t kept = 0, kept_in_order = 0;
  for (size_t i = 0; i < items_.size(); ++i) {
    if (items_[i].logit < limit && items_[i].id != first.id) continue;
    items_[kept++] = items_[i];
    if (i < in_order) kept_in_order = kept;
  }
  items_.resize(kept);
  sorted_ = kept_in_order;
}

void Candidates::replace(std::vector<Candidate> items) {
  MINKE_CHECK(!items.empty(), "a sampler keeps one candidate at least");
  items_ = std::move(items);
  sorted_ = 0;
}

double Candidates::total() {
  const float top = best().logit;
  double sum = 0;
  for (const Candidate& c : items_) sum += std::exp(static_cast<double>(c.logit - top));
  return sum;
}

size_t draw(Candidates& candidates, SamplerRandom& random) {
  const float top = candidates.best().logit;
  const double target = random.uniform() * candidates.total();
  double sum = 0;
  const auto items = candidates.items();
  for (size_t i = 0; i < items.size(); ++i) {
    sum += std::exp(static_cast<double>(items[i].logit - top));
    if (target < sum) return i;
  }
  return items.size() - 1;
}

}  // namespace minke
