// What approximations of e^x share.
#pragma once

#include "backends/cpu/simd/vec_f32.h"

namespace minke::cpu::MINKE_ISA_NS {
namespace {

using Ints = xsimd::batch<int32_t>;

/// x = n ln 2 + r, for |x| of at most 89.
struct ExpParts {
  Ints n;
  VF r;
};

inline ExpParts split_exponent(VF x) {
  // Adding 1.5 * 2^23 rounds n to an integer, in the low bits of the float.
  const VF shifted = madd(x, splat(0x1.715476p0f), splat(0x1.8p23f));
  const VF n = shifted - splat(0x1.8p23f);
  const VF r = madd(n, splat(-0x1.62e400p-1f), x);  // ln 2 in two parts, the first of few bits
  return {__builtin_bit_cast(Ints, shifted) - Ints(0x4B400000),
          madd(n, splat(-0x1.7f7d1cp-20f), r)};
}

}  // namespace
}  // namespace minke::cpu::MINKE_ISA_NS
