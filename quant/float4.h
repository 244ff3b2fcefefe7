// Four floats at once, on every machine in the same way: for the encoders' sums.
#pragma once

#include <cstdint>
#include <cstring>

namespace minke {

using F4 = float __attribute__((vector_size(16)));

inline F4 load4(const float* p) noexcept {
  F4 v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}
inline void store4(float* p, F4 v) noexcept { std::memcpy(p, &v, sizeof(v)); }
inline F4 splat4(float v) noexcept { return F4{v, v, v, v}; }
inline float sum4(F4 v) noexcept { return (v[0] + v[1]) + (v[2] + v[3]); }
inline F4 min4(F4 a, F4 b) noexcept { return a < b ? a : b; }

}  // namespace minke
