// Samplers that drop unlikely (or, XTC, the likeliest) candidates. Each keeps one at least.
#pragma once

#include "runtime/samplers/candidates.h"

namespace minke {

/// Keeps logits within n standard deviations of the maximum (arXiv 2411.07641).
void top_n_sigma(Candidates& candidates, float n);
/// Keeps the k best.
void top_k(Candidates& candidates, int k);
/// Keeps the fewest of the likeliest whose probabilities reach p (nucleus, arXiv 1904.09751).
void top_p(Candidates& candidates, float p);
/// Keeps those with at least p times the probability of the likeliest (arXiv 2407.01082).
void min_p(Candidates& candidates, float p);
/// Keeps those whose surprise is nearest to the entropy, until their probabilities exceed p
/// (locally typical sampling, arXiv 2202.00666).
void typical_p(Candidates& candidates, float p);
/// With the given probability, drops all tokens of at least `threshold` but the least likely of
/// them ("exclude top choices").
void xtc(Candidates& candidates, float probability, float threshold, SamplerRandom& random);

}  // namespace minke
