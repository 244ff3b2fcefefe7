#include "runtime/samplers/mirostat.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>

namespace minke {

void Mirostat::truncate_1(Candidates& candidates, int vocab_size) const {
  // The exponent s of Zipf's law p(i) ~ i^-s, estimated from the likeliest tokens by least squares
  // (equation 11 of the paper, m = 100).
  constexpr size_t kMostLikely = 100;
  candidates.sort_front(std::min(candidates.size(), kMostLikely));
  const auto items = std::as_const(candidates).items();
  double numerator = 0, denominator = 0;
  for (size_t i = 0; i + 1 < candidates.sorted() && i + 1 < kMostLikely; ++i) {
    const double t = std::log(static_cast<double>(i + 2) / static_cast<double>(i + 1));
    const double b = static_cast<double>(items[i].logit - items[i + 1].logit);
    numerator += t * b;
    denominator += t * t;
  }
  if (denominator == 0) return;  // one candidate
  const double s = numerator / denominator;
  if (!(s > 0)) return;  // all equally likely: nothing to cut
  const double epsilon = s - 1;
  const double log_n = std::log(static_cast<double>(vocab_size));
  // epsilon / (1 - N^-epsilon), whose limit at 0 is 1 / ln N.
  const double factor =
      std::abs(epsilon) < 1e-9 ? 1 / log_n : epsilon / -std::expm1(-epsilon * log_n);
  const double k = std::pow(factor * std::exp2(static_cast<double>(mu_)), 1 / s);
  const double most = static_cast<double>(candidates.size());
  const auto keep = static_cast<size_t>(std::clamp(std::isnan(k) ? most : k, 1.0, most));
  candidates.sort_front(keep);
  candidates.keep_front(keep);
}

void Mirostat::truncate_2(Candidates& candidates) const {
  // -log2 p <= mu, with p = exp(logit - top) / total.
  const double log_total = std::log(candidates.total());
  const double limit = static_cast<double>(candidates.best().logit) + log_total -
                       static_cast<double>(mu_) * std::log(2.0);
  candidates.keep_above(static_cast<float>(limit));
}

int32_t Mirostat::choose(Candidates& candidates, int vocab_size, SamplerRandom& random) {
  if (version_ == 1) {
    truncate_1(candidates, vocab_size);
  } else {
    truncate_2(candidates);
  }
  const size_t chosen = draw(candidates, random);
  const Candidate picked = candidates.items()[chosen];
  const double probability =
      std::exp(static_cast<double>(picked.logit - candidates.best().logit)) / candidates.total();
  mu_ -= eta_ * (static_cast<float>(-std::log2(probability)) - tau_);
  return picked.id;
}

}  // namespace minke
