#include "runtime/samplers/truncation.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <utility>
#include <vector>

namespace minke {

void top_n_sigma(Candidates& candidates, float n) {
  const auto items = std::as_const(candidates).items();
  double mean = 0;
  for (const Candidate& c : items) mean += static_cast<double>(c.logit);
  mean /= static_cast<double>(items.size());
  double variance = 0;
  for (const Candidate& c : items) {
    const double distance = static_cast<double>(c.logit) - mean;
    variance += distance * distance;
  }
  variance /= static_cast<double>(items.size());
  const double limit =
      static_cast<double>(candidates.best().logit) - static_cast<double>(n) * std::sqrt(variance);
  candidates.keep_above(static_cast<float>(limit));
}

void top_k(Candidates& candidates, int k) {
  candidates.sort_front(static_cast<size_t>(k));
  candidates.keep_front(static_cast<size_t>(k));
}

void top_p(Candidates& candidates, float p) {
  const double target = static_cast<double>(p) * candidates.total();
  const float top = candidates.best().logit;
  double sum = 0;
  for (size_t i = 0; i < candidates.size(); ++i) {
    // The nucleus is nearly always a tiny part of the vocabulary: sort only as far as it reaches.
    if (i == candidates.sorted()) candidates.sort_front(std::max<size_t>(64, i * 4));
    sum += std::exp(static_cast<double>(candidates.items()[i].logit - top));
    if (sum >= target) {
      candidates.keep_front(i + 1);
      return;
    }
  }
}

void min_p(Candidates& candidates, float p) {
  candidates.keep_above(candidates.best().logit + std::log(p));
}

void typical_p(Candidates& candidates, float p) {
  const float top = candidates.best().logit;
  const double log_total = std::log(candidates.total());
  const auto log_probability = [&](const Candidate& c) {
    return static_cast<double>(c.logit - top) - log_total;
  };
  double entropy = 0;
  for (const Candidate& c : std::as_const(candidates).items()) {
    const double log_p = log_probability(c);
    entropy -= std::exp(log_p) * log_p;
  }
  struct Scored {
    double distance;
    Candidate candidate;
  };
  std::vector<Scored> scored;
  scored.reserve(candidates.size());
  for (const Candidate& c : std::as_const(candidates).items()) {
    scored.push_back({std::abs(-log_probability(c) - entropy), c});
  }
  std::sort(scored.begin(), scored.end(), [](const Scored& a, const Scored& b) {
    return a.distance < b.distance ||
           (a.distance == b.distance && better(a.candidate, b.candidate));
  });
  std::vector<Candidate> kept;
  double sum = 0;
  for (const Scored& s : scored) {
    kept.push_back(s.candidate);
    sum += std::exp(log_probability(s.candidate));
    if (sum > static_cast<double>(p)) break;
  }
  candidates.replace(std::move(kept));
}

void xtc(Candidates& candidates, float probability, float threshold, SamplerRandom& random) {
  // One number is drawn a token whatever the logits, so that equal seeds stay in step.
  if (random.uniform() >= static_cast<double>(probability)) return;
  const double limit = static_cast<double>(threshold) * candidates.total();
  candidates.sort_front(candidates.size());
  const float top = candidates.best().logit;
  size_t n_likely = 0;
  for (const Candidate& c : std::as_const(candidates).items()) {
    if (std::exp(static_cast<double>(c.logit - top)) < limit) break;
    ++n_likely;
  }
  if (n_likely >= 2) candidates.drop_front(n_likely - 1);
}

}  // namespace minke
