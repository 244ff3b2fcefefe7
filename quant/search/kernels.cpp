// The encoders' search, compiled once an instruction set.
#include "quant/search/affine_search.h"
#include "quant/search/encoders.h"
#include "quant/search/super_affine.h"
#include "quant/search/super_scaled.h"

namespace minke::encoders::MINKE_ISA_NS {
namespace {

// The codes of n values of a block. As the search has it, `factor` times x is scale * level +
// offset.
template <class Nearest>
void assign(const float* x, size_t n, float factor, float scale, float offset,
            const Nearest& nearest, uint8_t* codes) noexcept {
  const F inv = inverse(splat(scale));
  alignas(64) float values[kSuperLen];
  for (size_t i = 0; i < n; i += kLanes) {
    store(values + i, nearest.code((load(x + i) * factor - offset) * inv));
  }
  for (size_t i = 0; i < n; ++i) codes[i] = static_cast<uint8_t>(static_cast<int>(values[i]));
}

// Calls encode(first) for n_blocks blocks, those of all lanes at a time.
template <class Encode>
void for_lanes(size_t n_blocks, const Encode& encode) noexcept {
  for (size_t first = 0; first < n_blocks; first += kLanes) {
    encode(first, n_blocks - first < kLanes ? n_blocks - first : kLanes);
  }
}

constexpr size_t kLen = 32;

template <class Nearest>
void encode_scaled_as(const ScaledRule& rule, const float* x, const float* importance,
                      size_t n_blocks, ScaledCodes* out) noexcept {
  const Nearest nearest(rule.values.levels);
  for_lanes(n_blocks, [&](size_t first, size_t n) {
    const float* xs = x + first * kLen;
    const Prepared<kLen> block(xs, importance != nullptr ? importance + first * kLen : nullptr, n);
    const Run run = block.run(0, kLen);
    const F scale = ScaleSearch<Nearest>(run, rule.values).search(block.grid());
    const F d = block.grid().halves(scale);
    for (size_t k = 0; k < n; ++k) {
      out[first + k].d = f32_to_f16(d[k]);
      assign(xs + k * kLen, kLen, block.factor()[k], scale[k], 0.0f, nearest, out[first + k].codes);
    }
  });
}

void encode_scaled(const ScaledRule& rule, const float* x, const float* importance, size_t n_blocks,
                   ScaledCodes* out) noexcept {
  const bool by_table = rule.values.levels.table != nullptr;
  (by_table ? encode_scaled_as<NearestOfTable>
            : encode_scaled_as<NearestInteger>)(rule, x, importance, n_blocks, out);
}

void encode_affine(const AffineRule& rule, const float* x, const float* importance, size_t n_blocks,
                   AffineCodes* out) noexcept {
  const NearestInteger nearest(0, rule.max_code);
  for_lanes(n_blocks, [&](size_t first, size_t n) {
    const float* xs = x + first * kLen;
    const Prepared<kLen> block(xs, importance != nullptr ? importance + first * kLen : nullptr, n);
    const Run run = block.run(0, kLen);
    const BestAffine best =
        AffineSearch(run, rule.max_code, AffineSearch::Offsets::kFree).search(block.grid());
    const F d = block.grid().halves(best.scale);
    const F m = block.grid().halves(best.offset);
    for (size_t k = 0; k < n; ++k) {
      out[first + k].d = f32_to_f16(d[k]);
      out[first + k].m = f32_to_f16(m[k]);
      assign(xs + k * kLen, kLen, block.factor()[k], best.scale[k], best.offset[k], nearest,
             out[first + k].codes);
    }
  });
}

template <class Nearest>
void encode_super_scaled_as(const SuperScaledRule& rule, const float* x, const float* importance,
                            size_t n_blocks, SuperScaledCodes* out) noexcept {
  const Nearest nearest(rule.values.levels);
  const size_t len = kSuperLen / rule.n_subs;
  for_lanes(n_blocks, [&](size_t first, size_t n) {
    const float* xs = x + first * kSuperLen;
    const Prepared<kSuperLen> block(
        xs, importance != nullptr ? importance + first * kSuperLen : nullptr, n);
    SuperScaleSearch<Nearest> search(block, rule);
    const auto& best = search.search();
    const F d = block.grid().halves(best.d);
    for (size_t k = 0; k < n; ++k) {
      SuperScaledCodes& codes = out[first + k];
      codes.d = f32_to_f16(d[k]);
      for (size_t j = 0; j < rule.n_subs; ++j) {
        codes.scales[j] = static_cast<int>(best.scales[j][k]);
        assign(xs + k * kSuperLen + j * len, len, block.factor()[k], best.d[k] * best.scales[j][k],
               0.0f, nearest, codes.codes + j * len);
      }
    }
  });
}

void encode_super_scaled(const SuperScaledRule& rule, const float* x, const float* importance,
                         size_t n_blocks, SuperScaledCodes* out) noexcept {
  const bool by_table = rule.values.levels.table != nullptr;
  (by_table ? encode_super_scaled_as<NearestOfTable>
            : encode_super_scaled_as<NearestInteger>)(rule, x, importance, n_blocks, out);
}

void encode_super_affine(const SuperAffineRule& rule, const float* x, const float* importance,
                         size_t n_blocks, SuperAffineCodes* out) noexcept {
  const NearestInteger nearest(0, rule.max_code);
  const size_t len = kSuperLen / rule.n_subs;
  for_lanes(n_blocks, [&](size_t first, size_t n) {
    const float* xs = x + first * kSuperLen;
    const Prepared<kSuperLen> block(
        xs, importance != nullptr ? importance + first * kSuperLen : nullptr, n);
    SuperAffineSearch search(block, rule);
    const auto& best = search.search();
    const F d = block.grid().halves(best.d);
    const F dmin = block.grid().halves(best.dmin);
    for (size_t k = 0; k < n; ++k) {
      SuperAffineCodes& codes = out[first + k];
      codes.d = f32_to_f16(d[k]);
      codes.dmin = f32_to_f16(dmin[k]);
      for (size_t j = 0; j < rule.n_subs; ++j) {
        codes.scales[j] = static_cast<uint8_t>(best.scales[j][k]);
        codes.mins[j] = static_cast<uint8_t>(best.mins[j][k]);
        assign(xs + k * kSuperLen + j * len, len, block.factor()[k], best.d[k] * best.scales[j][k],
               -best.dmin[k] * best.mins[j][k], nearest, codes.codes + j * len);
      }
    }
  });
}

}  // namespace

#define MINKE_STRING_OF(name) #name
#define MINKE_STRING(name) MINKE_STRING_OF(name)

extern const Encoders kEncoders;
const Encoders kEncoders = {
    .name = MINKE_STRING(MINKE_ISA_NS),
    .scaled = encode_scaled,
    .affine = encode_affine,
    .super_scaled = encode_super_scaled,
    .super_affine = encode_super_affine,
};

}  // namespace minke::encoders::MINKE_ISA_NS
