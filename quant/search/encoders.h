// The encoders' search, once an instruction set. All give the same result.
#pragma once

#include <cstddef>
#include <span>

#include "quant/search.h"

namespace minke::encoders {

struct Encoders {
  const char* name;  ///< As MINKE_ISA names instruction sets.
  void (*scaled)(const ScaledRule& rule, const float* x, const float* importance, size_t n_blocks,
                 ScaledCodes* out) noexcept;
  void (*affine)(const AffineRule& rule, const float* x, const float* importance, size_t n_blocks,
                 AffineCodes* out) noexcept;
  void (*super_scaled)(const SuperScaledRule& rule, const float* x, const float* importance,
                       size_t n_blocks, SuperScaledCodes* out) noexcept;
  void (*super_affine)(const SuperAffineRule& rule, const float* x, const float* importance,
                       size_t n_blocks, SuperAffineCodes* out) noexcept;
};

/// Those this processor can run, best first; the last one runs everywhere.
std::span<const Encoders* const> available() noexcept;

}  // namespace minke::encoders
