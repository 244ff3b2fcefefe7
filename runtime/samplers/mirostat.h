// Mirostat (arXiv 2007.14966): steers the surprise of the chosen tokens towards a target.
#pragma once

#include <cstdint>

#include "runtime/samplers/candidates.h"

namespace minke {

class Mirostat {
 public:
  /// tau: target surprise in bits; eta: learning rate.
  Mirostat(int version, float tau, float eta)
      : version_(version), tau_(tau), eta_(eta), mu_(2 * tau) {}

  /// Chooses a token and learns from its surprise. `vocab_size` is version 1's N.
  int32_t choose(Candidates& candidates, int vocab_size, SamplerRandom& random);
  float mu() const noexcept { return mu_; }

 private:
  void truncate_1(Candidates& candidates, int vocab_size) const;
  void truncate_2(Candidates& candidates) const;

  int version_;
  float tau_, eta_;
  float mu_;  ///< The most surprise that a candidate may have, in bits.
};

}  // namespace minke
