// From logits to one token: the chain of samplers that users of local runtimes know.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "runtime/result.h"

namespace minke {

/// Parameters by the names of the command line; the defaults switch a sampler off unless noted.
struct SamplingParams {
  float temperature = 0.8f;  ///< <= 0: greedy.
  int top_k = 40;            ///< <= 0: all.
  float top_p = 0.95f;
  float min_p = 0.05f;
  float typical_p = 1.0f;
  float top_n_sigma = -1.0f;
  float xtc_probability = 0.0f;
  float xtc_threshold = 0.1f;
  float repeat_penalty = 1.0f;
  float presence_penalty = 0.0f;
  float frequency_penalty = 0.0f;
  int repeat_last_n = 64;  ///< -1: the whole context, 0: off.
  float dry_multiplier = 0.0f;
  float dry_base = 1.75f;
  int dry_allowed_length = 2;
  int dry_penalty_last_n = -1;
  std::vector<int32_t> dry_breakers;  ///< Tokens that end a repeated run.
  int mirostat =
      0;  ///< 0 off, 1, 2: takes the place of all samplers but penalties, DRY, temperature.
  float mirostat_tau = 5.0f;
  float mirostat_eta = 0.1f;
  std::vector<std::pair<int32_t, float>> logit_bias;
  uint64_t seed = 0;
  /// Order of the chain, by name; a sampler that is not named does not run. Empty: penalties, dry,
  /// top_n_sigma, top_k, typ_p, top_p, min_p, xtc, temperature. Logit bias always comes first.
  std::vector<std::string> order;
};

/// One sequence's sampler: holds the random state and the tokens seen. Not thread-safe.
class Sampler {
 public:
  /// Errors: kUsage for a value out of range or an unknown name in `order`.
  static Result<Sampler> create(const SamplingParams& params, int vocab_size);
  Sampler(Sampler&&) noexcept;
  Sampler& operator=(Sampler&&) noexcept;
  ~Sampler();

  /// Tells the sampler of a token of the context (prompt or chosen).
  void accept(int32_t token);
  /// Chooses the next token from logits (vocab_size); does not accept it. -Inf bans a token. Greedy
  /// choice takes the highest logit after bias and penalties, the lowest id of equals. Errors:
  /// kContent if a logit is NaN or +Inf, or if none is finite.
  Result<int32_t> sample(std::span<const float> logits);

 private:
  struct Impl;
  explicit Sampler(std::unique_ptr<Impl> impl) noexcept;
  std::unique_ptr<Impl> impl_;
};

}  // namespace minke
