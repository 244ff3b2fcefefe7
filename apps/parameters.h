// What a user can say about the making of an answer. One table gives every name: the flags of the
// command line, /set parameter, /show parameters and saved sessions.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "models/ngram_drafter.h"
#include "models/sampling_defaults.h"
#include "models/tokenizer.h"
#include "runtime/result.h"
#include "runtime/sampler.h"

namespace minke::apps {

struct ParameterValues {
  SamplingParams sampling;  ///< Without seed and dry_breakers.
  int64_t seed = -1;        ///< -1: a new one every time.
  int n_predict = -1;       ///< -1: until the model ends its answer.
  bool ignore_eos = false;
  bool timings = false;  ///< Print tokens a second after an answer.
  Speculation speculation;
  std::vector<std::string> dry_breakers = {"\n", ":", "\"", "*"};
};

struct ParameterInfo {
  std::string_view name;     ///< "top_k"; '-' and '_' are the same in it.
  std::string_view flags;    ///< "--top-k"
  std::string_view aliases;  ///< Other names for /set parameter, separated by spaces.
  std::string_view metavar;  ///< Empty: a switch.
  std::string_view help;
  bool repeats;  ///< The flag may be given several times, and its values add up.
  /// Errors: kUsage. Text is one value.
  Status (*parse)(ParameterValues& values, std::string_view text);
  std::string (*print)(const ParameterValues& values);
};

std::span<const ParameterInfo> parameter_table() noexcept;
/// Any of a parameter's names; nullptr if there is none.
const ParameterInfo* find_parameter(std::string_view name) noexcept;

class Parameters {
 public:
  Parameters();
  /// Puts a model's own values in place of Minke's.
  void use_defaults(const SamplingDefaults& defaults);
  /// Errors: kUsage (an unknown name, a value that is none, out of range). What else may be wrong
  /// with all values together is told by sampling().
  Status set(std::string_view name, std::string_view text);

  const ParameterValues& values() const noexcept { return values_; }
  /// What an engine is asked for: seed and breakers filled in. Errors: kUsage (a breaker that no
  /// token of the vocabulary holds, a bias for a token that does not exist, values that contradict
  /// each other).
  Result<SamplingParams> sampling(const Tokenizer& tokenizer) const;

  /// Where a value comes from: "the file", "the model family", "Minke", "you".
  std::string_view origin(std::string_view name) const;
  /// Name, value and origin of all, a line each, for people.
  std::string describe() const;
  /// "temp 0.3 (the file), top_k 40 (Minke), top_p 0.95 (the model family)"
  std::string summary() const;

 private:
  ParameterValues values_;
  std::map<std::string_view, std::string_view> origins_;  ///< Without an entry: "Minke".
  uint64_t random_seed_;                                  ///< In use where values_.seed is -1.
};

}  // namespace minke::apps
