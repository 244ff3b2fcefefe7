// YaRN's rotary frequencies.
#pragma once

#include <vector>

namespace minke {

struct RopeParams {
  int dim = 64;  ///< Rotated values; pairs (2i, 2i+1) turn together.
  float theta = 10000.0f;
  float factor = 1.0f;  ///< 1: plain RoPE.
  int original_ctx = 4096;
  float beta_fast = 32.0f;
  float beta_slow = 1.0f;
};

/// dim / 2 angular frequencies, in radians a position.
std::vector<float> rope_frequencies(const RopeParams& params);

}  // namespace minke
