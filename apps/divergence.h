// How far a model's predictions are from those of another one (its base, before quantization).
#pragma once

#include <span>
#include <string>
#include <vector>

#include "apps/base_logits.h"

namespace minke::apps {

/// log of the sum of exp over all logits, in f64.
double log_sum_exp(std::span<const float> logits) noexcept;

/// The scored predictions of a text, one value each.
struct Divergence {
  std::vector<double> nll;       ///< -log p of the text's next token
  std::vector<double> nll_base;  ///< the same of the base
  std::vector<double> kld;       ///< sum over the vocabulary of p_base (log p_base - log p)
  std::vector<double> delta_p;   ///< p - p_base of the text's next token
  std::vector<double> same_top;  ///< 1 where both hold the same token likeliest, else 0

  explicit Divergence(size_t n) : nll(n), nll_base(n), kld(n), delta_p(n), same_top(n) {}
  /// Compares one prediction; `target` is the text's next token. As llama.cpp counts: what the base
  /// holds less likely than e^-16 is left out of the sum.
  void set(size_t i, std::span<const float> logits, double log_sum_exp, const BaseRow& base,
           TokenId target);
};

/// One line of the running table, of the first n predictions, and the line above the table.
std::string divergence_header();
std::string divergence_line(const Divergence& all, size_t n, int n_chunks);
/// The final figures: perplexities, KL divergence, token probabilities.
std::string divergence_report(const Divergence& all);

}  // namespace minke::apps
