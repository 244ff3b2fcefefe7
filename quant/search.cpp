#include "quant/search.h"

#include "quant/fit.h"

namespace minke {

void encode_scaled(const float* x, const float* importance, size_t n, const Levels& levels,
                   ScaledCodes& out) noexcept {
  const Prepared block(x, importance, n);
  const Run run = block.run(0, n);
  const BestScale best = search_scale(run, levels, &block.grid());
  out.d = block.grid().bits(best.scale);
  assign_codes(run, best.scale, levels, out.codes);
}

void encode_affine(const float* x, const float* importance, size_t n, int max_code,
                   AffineCodes& out) noexcept {
  const Prepared block(x, importance, n);
  const Run run = block.run(0, n);
  const BestAffine best = search_affine(run, max_code, &block.grid());
  out.d = block.grid().bits(best.scale);
  out.m = block.grid().bits(best.offset);
  assign_affine_codes(run, best.scale, best.offset, max_code, out.codes);
}

}  // namespace minke
