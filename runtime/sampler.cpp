#include "runtime/sampler.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "runtime/samplers/candidates.h"
#include "runtime/samplers/mirostat.h"
#include "runtime/samplers/penalties.h"
#include "runtime/samplers/truncation.h"
#include "runtime/utf8.h"

namespace minke {
namespace {

enum class Stage {
  kPenalties,
  kDry,
  kTopNSigma,
  kTopK,
  kTypical,
  kTopP,
  kMinP,
  kXtc,
  kTemperature
};

struct StageName {
  std::string_view name;
  Stage stage;
};
/// The default order first; then the other names that people use.
constexpr std::array kStageNames{
    StageName{"penalties", Stage::kPenalties},
    StageName{"dry", Stage::kDry},
    StageName{"top_n_sigma", Stage::kTopNSigma},
    StageName{"top_k", Stage::kTopK},
    StageName{"typ_p", Stage::kTypical},
    StageName{"top_p", Stage::kTopP},
    StageName{"min_p", Stage::kMinP},
    StageName{"xtc", Stage::kXtc},
    StageName{"temperature", Stage::kTemperature},
    StageName{"typical", Stage::kTypical},
    StageName{"typical_p", Stage::kTypical},
    StageName{"temp", Stage::kTemperature},
};
constexpr size_t kDefaultStages = 9;

Result<std::vector<Stage>> parse_order(const std::vector<std::string>& names) {
  std::vector<Stage> stages;
  for (const std::string& name : names) {
    const auto known = std::find_if(kStageNames.begin(), kStageNames.end(),
                                    [&](const StageName& s) { return s.name == name; });
    if (known == kStageNames.end()) {
      std::string all;
      for (size_t i = 0; i < kDefaultStages; ++i) {
        all += (i == 0 ? "" : ", ") + std::string(kStageNames[i].name);
      }
      return fail(Errc::kUsage, "unknown sampler '{}' (known: {})", printable(name), all);
    }
    if (std::find(stages.begin(), stages.end(), known->stage) != stages.end()) {
      return fail(Errc::kUsage, "the sampler '{}' stands twice in the order", name);
    }
    stages.push_back(known->stage);
  }
  if (names.empty()) {
    for (size_t i = 0; i < kDefaultStages; ++i) stages.push_back(kStageNames[i].stage);
  }
  return stages;
}

struct Range {
  std::string_view name;
  double value, low, high;
};

Status check_ranges(const SamplingParams& p) {
  constexpr double kMax = 1e6;  // beyond any use, and products with it stay finite
  constexpr double kIntMax = std::numeric_limits<int>::max();
  const Range ranges[] = {
      {"temperature", static_cast<double>(p.temperature), -kMax, kMax},
      {"top_p", static_cast<double>(p.top_p), 0, 1},
      {"min_p", static_cast<double>(p.min_p), 0, 1},
      {"typical_p", static_cast<double>(p.typical_p), 0, 1},
      {"top_n_sigma", static_cast<double>(p.top_n_sigma), -kMax, kMax},
      {"xtc_probability", static_cast<double>(p.xtc_probability), 0, 1},
      {"xtc_threshold", static_cast<double>(p.xtc_threshold), 0, 1},
      {"repeat_penalty", static_cast<double>(p.repeat_penalty), 1e-3, 1e3},
      {"presence_penalty", static_cast<double>(p.presence_penalty), -kMax, kMax},
      {"frequency_penalty", static_cast<double>(p.frequency_penalty), -kMax, kMax},
      {"repeat_last_n", static_cast<double>(p.repeat_last_n), -1, kIntMax},
      {"dry_multiplier", static_cast<double>(p.dry_multiplier), 0, kMax},
      {"dry_base", static_cast<double>(p.dry_base), 1, kMax},
      {"dry_allowed_length", static_cast<double>(p.dry_allowed_length), 1, kIntMax},
      {"dry_penalty_last_n", static_cast<double>(p.dry_penalty_last_n), -1, kIntMax},
      {"mirostat", static_cast<double>(p.mirostat), 0, 2},
      {"mirostat_tau", static_cast<double>(p.mirostat_tau), 0, kMax},
      {"mirostat_eta", static_cast<double>(p.mirostat_eta), 0, kMax},
  };
  for (const Range& r : ranges) {
    if (!(r.value >= r.low && r.value <= r.high)) {
      return fail(Errc::kUsage, "{} must be from {} to {} (got {})", r.name, r.low, r.high,
                  r.value);
    }
  }
  return {};
}

Status check_tokens(const SamplingParams& p, int vocab_size) {
  for (const auto& [token, bias] : p.logit_bias) {
    if (token < 0 || token >= vocab_size) {
      return fail(Errc::kUsage, "logit bias: token {} is not in the vocabulary (0 to {})", token,
                  vocab_size - 1);
    }
    if (std::isnan(bias) || bias > 1e6f) {
      return fail(Errc::kUsage, "logit bias of token {}: {} is not a usable number", token, bias);
    }
  }
  for (const int32_t token : p.dry_breakers) {
    if (token < 0 || token >= vocab_size) {
      return fail(Errc::kUsage, "DRY sequence breaker: token {} is not in the vocabulary (0 to {})",
                  token, vocab_size - 1);
    }
  }
  return {};
}

/// -Inf is how a caller bans a token; NaN and +Inf mean that the model's numbers broke.
Status check_logits(std::span<const float> logits) {
  // Branch-free over the whole row, as this runs for every token: x - x is NaN unless x is finite.
  bool bad = false, any = false;
  for (const float x : logits) {
    bad |= !(x <= std::numeric_limits<float>::max());
    any |= x >= std::numeric_limits<float>::lowest();
  }
  if (bad) {
    const auto at = std::find_if(logits.begin(), logits.end(),
                                 [](float x) { return !(x <= std::numeric_limits<float>::max()); });
    return fail(Errc::kContent, "the model's logit of token {} is {}", at - logits.begin(), *at);
  }
  if (!any) return fail(Errc::kContent, "no token has a finite logit");
  return {};
}

}  // namespace

struct Sampler::Impl {
  Impl(const SamplingParams& p, std::vector<Stage> s, int n)
      : params(p),
        stages(std::move(s)),
        vocab_size(n),
        breakers(p.dry_breakers.begin(), p.dry_breakers.end()),
        recent(p.repeat_last_n),
        random(p.seed),
        penalizes(p.repeat_penalty != 1 || p.presence_penalty != 0 || p.frequency_penalty != 0) {
    if (p.mirostat != 0) mirostat.emplace(p.mirostat, p.mirostat_tau, p.mirostat_eta);
  }

  Result<int32_t> choose(std::span<const float> logits);
  Result<int32_t> choose_best();
  void penalize(Stage stage, std::span<float> row) const;
  void penalize_candidates(Stage stage);
  void scale(float temperature);
  void apply(Stage stage);

  SamplingParams params;
  std::vector<Stage> stages;
  int vocab_size;
  std::unordered_set<int32_t> breakers;
  RecentTokens recent;
  SamplerRandom random;
  bool penalizes;
  std::optional<Mirostat> mirostat;
  std::vector<int32_t> history;  ///< Kept only where a sampler looks at it.
  std::vector<float> adjusted;   ///< Scratch: the logits after bias and penalties.
  Candidates candidates;         ///< Scratch.
};

void Sampler::Impl::penalize(Stage stage, std::span<float> row) const {
  if (stage == Stage::kPenalties && penalizes) apply_penalties(recent, params, row);
  if (stage == Stage::kDry && params.dry_multiplier > 0) apply_dry(history, breakers, params, row);
}

void Sampler::Impl::penalize_candidates(Stage stage) {
  // Only an unusual order comes here: the penalties work on a row, so the candidates become one.
  for (const Candidate& c : candidates.items()) adjusted[static_cast<size_t>(c.id)] = c.logit;
  penalize(stage, adjusted);
  std::vector<Candidate> changed(candidates.items().begin(), candidates.items().end());
  for (Candidate& c : changed) c.logit = adjusted[static_cast<size_t>(c.id)];
  candidates.replace(std::move(changed));
}

void Sampler::Impl::scale(float temperature) {
  // The best becomes 0, so that a tiny temperature cannot overflow; the limit below keeps
  // p * log p finite for the others.
  const float top = candidates.best().logit;
  for (Candidate& c : candidates.items()) {
    c.logit = std::max((c.logit - top) / temperature, -1e30f);
  }
}

void Sampler::Impl::apply(Stage stage) {
  switch (stage) {
    case Stage::kPenalties:
    case Stage::kDry:
      penalize_candidates(stage);
      return;
    case Stage::kTopNSigma:
      if (params.top_n_sigma > 0) top_n_sigma(candidates, params.top_n_sigma);
      return;
    case Stage::kTopK:
      if (params.top_k > 0) top_k(candidates, params.top_k);
      return;
    case Stage::kTypical:
      if (params.typical_p < 1) typical_p(candidates, params.typical_p);
      return;
    case Stage::kTopP:
      if (params.top_p < 1) top_p(candidates, params.top_p);
      return;
    case Stage::kMinP:
      if (params.min_p > 0) min_p(candidates, params.min_p);
      return;
    case Stage::kXtc:
      if (params.xtc_probability > 0) {
        xtc(candidates, params.xtc_probability, params.xtc_threshold, random);
      }
      return;
    case Stage::kTemperature:
      scale(params.temperature);
      return;
  }
}

Result<int32_t> Sampler::Impl::choose_best() {
  // max_element gives the first of equals: the lowest id.
  const auto best = std::max_element(adjusted.begin(), adjusted.end());
  if (!std::isfinite(*best)) return fail(Errc::kContent, "no token has a finite logit");
  return static_cast<int32_t>(best - adjusted.begin());
}

Result<int32_t> Sampler::Impl::choose(std::span<const float> logits) {
  adjusted.assign(logits.begin(), logits.end());
  for (const auto& [token, bias] : params.logit_bias) adjusted[static_cast<size_t>(token)] += bias;
  const bool greedy = params.temperature <= 0;
  // Penalties at the front of the order (the default) change the row before it becomes candidates.
  // Greedy choice and mirostat know no cuts, so there all penalties come first.
  size_t next = 0;
  for (; next < stages.size(); ++next) {
    const bool on_row = stages[next] == Stage::kPenalties || stages[next] == Stage::kDry;
    if (on_row) {
      penalize(stages[next], adjusted);
    } else if (!greedy && !mirostat) {
      break;
    }
  }
  if (greedy) return choose_best();

  candidates.assign(adjusted);
  if (candidates.size() == 0) return fail(Errc::kContent, "no token has a finite logit");
  if (mirostat) {
    scale(params.temperature);
    return mirostat->choose(candidates, vocab_size, random);
  }
  for (; next < stages.size(); ++next) apply(stages[next]);
  return candidates.items()[draw(candidates, random)].id;
}

Sampler::Sampler(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
Sampler::Sampler(Sampler&&) noexcept = default;
Sampler& Sampler::operator=(Sampler&&) noexcept = default;
Sampler::~Sampler() = default;

Result<Sampler> Sampler::create(const SamplingParams& params, int vocab_size) {
  MINKE_CHECK(vocab_size > 0, "a vocabulary of {}", vocab_size);
  MINKE_TRY(check_ranges(params));
  MINKE_TRY(check_tokens(params, vocab_size));
  MINKE_ASSIGN(auto stages, parse_order(params.order));
  return Sampler(std::make_unique<Impl>(params, std::move(stages), vocab_size));
}

void Sampler::accept(int32_t token) {
  MINKE_CHECK(token >= 0 && token < impl_->vocab_size, "token {} of {}", token, impl_->vocab_size);
  if (!impl_->penalizes && impl_->params.dry_multiplier <= 0) return;
  impl_->history.push_back(token);
  if (impl_->penalizes) impl_->recent.push(impl_->history);
}

Result<int32_t> Sampler::sample(std::span<const float> logits) {
  MINKE_CHECK(logits.size() == static_cast<size_t>(impl_->vocab_size), "{} logits for {} tokens",
              logits.size(), impl_->vocab_size);
  MINKE_TRY(check_logits(logits));
  return impl_->choose(logits);
}

}  // namespace minke
