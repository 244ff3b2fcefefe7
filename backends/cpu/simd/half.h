// Single half-precision numbers, with the instruction where there is one.
#pragma once

#include <cstdint>
#include <cstring>

#include "quant/half.h"

#if defined(__F16C__)
#include <immintrin.h>
#endif

namespace minke::cpu::MINKE_ISA_NS {
namespace {

inline float half_to_float(uint16_t bits) {
#if defined(__F16C__)
  return _cvtsh_ss(bits);
#elif defined(__aarch64__)
  __fp16 value;
  std::memcpy(&value, &bits, 2);
  return value;
#else
  return f16_to_f32(bits);
#endif
}

}  // namespace
}  // namespace minke::cpu::MINKE_ISA_NS
