#include "apps/divergence.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "apps/estimate.h"

namespace minke::apps {
namespace {

constexpr double kPercent = 100;

/// The root of a mean of squares.
Estimate root_mean_square(std::span<const double> values) {
  std::vector<double> squares;
  for (const double value : values) squares.push_back(value * value);
  const Estimate mean = estimate_mean(squares);
  const double root = std::sqrt(mean.mean);
  return {root, root > 0 ? 0.5 * mean.error / root : 0};
}

/// Token by token, so that what both share cancels out.
std::vector<double> differences(std::span<const double> a, std::span<const double> b) {
  std::vector<double> result;
  std::ranges::transform(a, b, std::back_inserter(result), std::minus<>());
  return result;
}

/// The value that a share of all lies below, between neighbours in proportion.
double percentile(std::span<const double> sorted, double share) {
  const double at = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(at);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  const double part = at - static_cast<double>(below);
  return sorted[below] * (1 - part) + sorted[above] * part;
}

class Lines {
 public:
  void heading(std::string_view name) { fmt::format_to(out(), "\n====== {} ======\n", name); }
  void add(std::string_view name, const Estimate& e, std::string_view unit = "") {
    fmt::format_to(out(), "{:<26}: {:11.6f} ± {:9.6f}{}\n", name, e.mean, e.error, unit);
  }
  void add(std::string_view name, double value, std::string_view unit = "") {
    fmt::format_to(out(), "{:<26}: {:11.6f}{}\n", name, value, unit);
  }
  std::string take() { return std::move(text_); }

 private:
  std::back_insert_iterator<std::string> out() { return std::back_inserter(text_); }
  std::string text_;
};

Estimate scaled(const Estimate& e, double factor) { return {e.mean * factor, e.error * factor}; }

void add_percentiles(Lines& lines, std::vector<double> values, std::string_view what, double factor,
                     std::string_view unit) {
  std::ranges::sort(values);
  const auto add = [&](std::string_view name, double share) {
    lines.add(fmt::format("{:<7} {}", name, what), factor * percentile(values, share), unit);
  };
  add("Maximum", 1);
  add("99.9%", 0.999);
  add("99.0%", 0.99);
  add("95.0%", 0.95);
  add("90.0%", 0.9);
  add("Median", 0.5);
  add("10.0%", 0.1);
  add("5.0%", 0.05);
  add("1.0%", 0.01);
  add("Minimum", 0);
}

}  // namespace

double log_sum_exp(std::span<const float> logits) noexcept {
  const float largest = std::ranges::max(logits);
  double sum = 0;
  for (const float logit : logits) sum += static_cast<double>(std::exp(logit - largest));
  return static_cast<double>(largest) + std::log(sum);
}

void Divergence::set(size_t i, std::span<const float> logits, double log_sum_exp,
                     const BaseRow& base, TokenId target) {
  constexpr float kLeast = -16;
  double sum = 0;
  size_t top = 0, top_base = 0;
  for (size_t t = 0; t < logits.size(); ++t) {
    if (logits[t] > logits[top]) top = t;
    if (base.codes[t] > base.codes[top_base]) top_base = t;
    const float log_p_base = base.log_p(t);
    if (log_p_base <= kLeast) continue;
    const double log_p = static_cast<double>(logits[t]) - log_sum_exp;
    sum += static_cast<double>(std::exp(log_p_base)) * (static_cast<double>(log_p_base) - log_p);
  }
  const auto next = static_cast<size_t>(target);
  kld[i] = sum;
  nll[i] = log_sum_exp - static_cast<double>(logits[next]);
  nll_base[i] = -static_cast<double>(base.log_p(next));
  delta_p[i] = std::exp(-nll[i]) - std::exp(-nll_base[i]);
  same_top[i] = top == top_base ? 1 : 0;
}

std::string divergence_header() {
  return fmt::format("{:>5}  {:>20}  {:>21}  {:>19}  {:>17}  {:>17}\n", "chunk", "PPL",
                     "ln(PPL/PPL(base))", "KL divergence", "Δp RMS %", "same top %");
}

std::string divergence_line(const Divergence& all, size_t n, int n_chunks) {
  const auto first = [n](const std::vector<double>& values) { return std::span(values).first(n); };
  const Estimate ppl = exp_of(estimate_mean(first(all.nll)));
  const Estimate ratio = estimate_mean(differences(first(all.nll), first(all.nll_base)));
  const Estimate kld = estimate_mean(first(all.kld));
  const Estimate rms = scaled(root_mean_square(first(all.delta_p)), kPercent);
  const Estimate top = scaled(estimate_mean(first(all.same_top)), kPercent);
  return fmt::format(
      "{:>5}  {:9.4f} ± {:8.4f}  {:10.5f} ± {:8.5f}  {:8.5f} ± {:8.5f}  {:8.3f} ± {:6.3f}  "
      "{:8.3f} ± {:6.3f}\n",
      n_chunks, ppl.mean, ppl.error, ratio.mean, ratio.error, kld.mean, kld.error, rms.mean,
      rms.error, top.mean, top.error);
}

std::string divergence_report(const Divergence& all) {
  Lines lines;
  lines.heading("Perplexity");
  const Estimate ppl = exp_of(estimate_mean(all.nll));
  const Estimate base = exp_of(estimate_mean(all.nll_base));
  const Estimate log_ratio = estimate_mean(differences(all.nll, all.nll_base));
  lines.add("Mean PPL(Q)", ppl);
  lines.add("Mean PPL(base)", base);
  lines.add("Mean ln(PPL(Q)/PPL(base))", log_ratio);
  lines.add("Mean PPL(Q)/PPL(base)", exp_of(log_ratio));
  lines.add("Mean PPL(Q)-PPL(base)", ppl.mean - base.mean);
  lines.heading("KL divergence");
  lines.add("Mean    KLD", estimate_mean(all.kld));
  add_percentiles(lines, all.kld, "KLD", 1, "");
  lines.heading("Token probability");
  lines.add("Mean    Δp", scaled(estimate_mean(all.delta_p), kPercent), " %");
  add_percentiles(lines, all.delta_p, "Δp", kPercent, " %");
  lines.add("RMS     Δp", scaled(root_mean_square(all.delta_p), kPercent), " %");
  lines.add("Same top", scaled(estimate_mean(all.same_top), kPercent), " %");
  return lines.take();
}

}  // namespace minke::apps
