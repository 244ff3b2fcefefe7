// Integer vectors and dot products of bytes, which xsimd does not have. One header an instruction
// set, all with the same names:
//   kLanes               int32 lanes of a vector VI
//   kFullBias            what full-range int8 weights are shifted by to be multiplied: 128 where
//                        the instruction wants unsigned weights, 0 where signed ones
//   Dot<range>           sums of 4 products of weight bytes with signed bytes a lane. kFlush == 0:
//                        step() adds to int32 at once. Otherwise first() and step() add in int16,
//                        for at most kFlush steps, and flush() adds that to int32. Some have
//                        step_splat(), step() with four bytes of memory for every lane.
//   transpose            kLanes rows of kLanes dwords
//   sum_rows             reduces kLanes vectors, one a row, to sums of 4 lanes (16 values) a row
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace minke::cpu {

/// Largest weight byte of a format: decides how many products fit in 16 bits.
enum class Range {
  k4,     ///< 0..15
  k5,     ///< 0..31
  k6,     ///< 0..63
  kFull,  ///< int8 + kFullBias
};

}  // namespace minke::cpu

#if defined(__AVX512BW__)
#include "backends/cpu/simd/dot_i8_avx512.h"
#elif defined(__AVX2__)
#include "backends/cpu/simd/dot_i8_avx2.h"
#elif defined(__aarch64__)
#include "backends/cpu/simd/dot_i8_neon.h"
#else
#include "backends/cpu/simd/dot_i8_scalar.h"
#endif

namespace minke::cpu::MINKE_ISA_NS {
namespace {

/// Whether weights may fill their bytes, whatever their format: where products of bytes are added
/// in 32 bits at once.
inline constexpr bool kHighInPlace = Dot<Range::k4>::kFlush == 0;

}  // namespace
}  // namespace minke::cpu::MINKE_ISA_NS
