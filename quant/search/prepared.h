// What every search begins with: blocks in lanes, at magnitudes that can be squared.
#pragma once

#include "quant/search/lanes.h"

namespace minke::encoders::MINKE_ISA_NS {
namespace {

// Values and their weights, a block (or sub-block) a lane. Weights are > 0.
struct Run {
  const F* x;
  const F* w;
  size_t n;
};

// Where stored scales can lie: f16's numbers, in units of 2^exponent.
class HalfGrid {
 public:
  HalfGrid() = default;
  explicit HalfGrid(I exponent) noexcept
      : to_half_(from_bits((exponent + 127) << 23)),
        from_half_(from_bits((127 - exponent) << 23)) {}

  F nearest(F v) const noexcept { return round_to_half(halves(v)) * from_half_; }
  // The same for scales: what would round to zero becomes the smallest there is.
  F nearest_scale(F v) const noexcept {
    const F half = round_to_half(halves(v));
    const F smallest = with_sign_of(splat(0x1p-24f), v);
    return select((half == 0.0f) & (v != 0.0f), smallest, half) * from_half_;
  }
  // Between the neighbours of v, which lies on the grid.
  F spacing(F v) const noexcept {
    const F exponent = from_bits(bits_of(halves(v)) & 0x7f800000);
    return max(exponent * 0x1p-10f, splat(0x1p-24f)) * from_half_;
  }
  // In units of the stored number.
  F halves(F v) const noexcept { return max(min(v * to_half_, splat(kF16Max)), splat(-kF16Max)); }

 private:
  // |v| <= kF16Max.
  static F round_to_half(F v) noexcept {
    const I magnitude = bits_of(v) & 0x7fffffff;
    const F normal = from_bits((magnitude + 0xfff + ((magnitude >> 13) & 1)) & ~0x1fff);
    // 0.5f's last bit is worth 2^-24, as is that of a denormal f16: the addition rounds.
    const F denormal = (from_bits(magnitude) + 0.5f) - 0.5f;
    return with_sign_of(select(magnitude < (113 << 23), denormal, normal), v);
  }

  F to_half_;
  F from_half_;
};

template <size_t kLen>
inline F largest(const F (&values)[kLen]) noexcept {
  I best{};  // Magnitudes are in the order of their bits.
  for (const F v : values) {
    const I magnitude = bits_of(v) & INT32_MAX;
    best = magnitude > best ? magnitude : best;
  }
  return from_bits(best);
}

// Such that 2^-exponent is a normal f32 and brings `magnitude` to 1..4 (or below, if it is tiny).
inline I exponent_of(F magnitude) noexcept {
  I exponent = (bits_of(magnitude) >> 23) - 127;
  exponent = exponent > -100 ? exponent : splat(-100);
  exponent = exponent < 126 ? exponent : splat(126);
  return magnitude > 0.0f ? exponent : I{};
}

// Blocks brought to magnitudes near 1, so that squares neither overflow nor vanish; a power of two
// does it, exactly. Weights are at most 1.
template <size_t kLen>
class Prepared {
 public:
  Prepared(const float* x, const float* importance, size_t n_blocks) noexcept {
    load_blocks(x, n_blocks, x_);
    const I exponent = exponent_of(largest(x_));
    grid_ = HalfGrid(exponent);
    factor_ = from_bits((127 - exponent) << 23);
    for (F& v : x_) v *= factor_;
    if (importance == nullptr) {
      for (F& w : w_) w = splat(1.0f);
    } else {
      load_blocks(importance, n_blocks, w_);
      scale_weights();
    }
  }
  Run run(size_t begin, size_t n) const noexcept { return {x_ + begin, w_ + begin, n}; }
  const HalfGrid& grid() const noexcept { return grid_; }
  // What brings x to the magnitudes of the run.
  F factor() const noexcept { return factor_; }

 private:
  void scale_weights() noexcept {
    const F heaviest = largest(w_);
    // In two steps: the inverse of a denormal is infinite.
    const F factor = from_bits((127 - exponent_of(heaviest)) << 23);
    const F inverse = select(heaviest > 0.0f, 1.0f / (heaviest * factor), F{});
    for (F& w : w_) {
      // Equal weights are no weights, to the bit. The floor keeps the sums of a run whose weights
      // are all zero from being zero.
      w = select(w == heaviest, splat(1.0f), max(w * factor * inverse, splat(1e-12f)));
    }
  }

  F x_[kLen];
  F w_[kLen];
  HalfGrid grid_;
  F factor_;
};

}  // namespace
}  // namespace minke::encoders::MINKE_ISA_NS
