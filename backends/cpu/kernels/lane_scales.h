// Scales and mins of kLanes weight rows at once: lane r is row r.
#pragma once

#include "backends/cpu/kernels/row_pointers.h"
#include "backends/cpu/kernels/unpack_generic.h"

namespace minke::cpu::MINKE_ISA_NS {
namespace {

/// Byte i of every lane, unsigned.
inline VF byte_to_float(VI lanes, int i) {
  return to_float(and_bits(shift_right(lanes, 8 * i), splat_i32(255)));
}
/// Byte i of every lane, unsigned, times a factor: a finite half, or that divided by a power of
/// two.
class ScaledBytes {
 public:
  explicit ScaledBytes(VF factor) : factor_(factor), start_(factor * splat(-kWhole)) {}
  [[gnu::always_inline]] VF operator()(VI lanes, int i) const {
    const VI byte = and_bits(shift_right(lanes, 8 * i), splat_i32(255));
    return madd(bits_as_float(or_bits(byte, splat_i32(kWholeBits))), factor_, start_);
  }

 private:
  // This float's bits and a byte's are their sum. Its product with the factor is exact.
  static constexpr float kWhole = 0x1p23f;
  static constexpr int32_t kWholeBits = 0x4B000000;
  VF factor_, start_;
};
/// The half at byte `at` of the rows, the last of its block: loads the 16 bytes that end with it.
[[gnu::always_inline]] inline VF load_last_halves(const RowPointers& rows, size_t at) {
  VI v[4];
  rows.load_16_bytes(at - 14, v);
  return low_halves(shift_right(v[3], 16));
}

/// The scales (and mins) of kLanes rows: for_each_scale calls body(group, scale, min) for the
/// groups of the block at byte `at`, in order. Blocks of 32: a half at the beginning, and one
/// behind it where there are mins.
template <class Block>
struct LaneScales {
  template <class Body>
  [[gnu::always_inline]] static void for_each_scale(const RowPointers& rows, size_t at,
                                                    Body&& body) {
    static_assert(Block::kLen == 32 && offsetof(Block, d) == 0);
    VI head[4];
    rows.load_16_bytes(at, head);
    body(0, low_halves(head[0]), low_halves(shift_right(head[0], 16)));
  }
};

/// Q4_K and Q5_K: d, dmin and twelve bytes that k_scales.h draws. The scale of every second group,
/// the high nibbles, is divided by kHighTimes, a power of two.
template <class Block, int kHighTimes>
struct LaneKScales {
  template <class Body>
  [[gnu::always_inline]] static void for_each_scale(const RowPointers& rows, size_t at,
                                                    Body&& body) {
    const VI six = splat_byte(0x3F), four = splat_byte(0x0F), top = splat_byte(0x30);
    VI head[4];  // d and dmin; s0..3 with the top of s4..7; m0..3 likewise; s4..7 and m4..7
    rows.load_16_bytes(at, head);
    const VF d = low_halves(head[0]);
    const ScaledBytes scale_of[2] = {ScaledBytes(d), ScaledBytes(d * splat(1.0f / kHighTimes))};
    const ScaledBytes min_of(-low_halves(shift_right(head[0], 16)));
    const auto top_of = [&](VI lanes) { return and_bits(shift_right(lanes, 2), top); };
    const VI scales[2] = {and_bits(head[1], six),
                          or_bits(and_bits(head[3], four), top_of(head[1]))};
    const VI mins[2] = {and_bits(head[2], six),
                        or_bits(and_bits(shift_right(head[3], 4), four), top_of(head[2]))};
    MINKE_UNROLL
    for (int g = 0; g < 8; ++g)
      body(g, scale_of[g % 2](scales[g / 4], g % 4), min_of(mins[g / 4], g % 4));
  }
};
template <>
struct LaneScales<BlockQ4_K> : LaneKScales<BlockQ4_K, kHighInPlace ? 16 : 1> {};
template <>
struct LaneScales<BlockQ5_K> : LaneKScales<BlockQ5_K, 1> {};

/// Sixteen signed bytes, and d at the end of the block.
template <>
struct LaneScales<BlockQ6_K> {
  template <class Body>
  [[gnu::always_inline]] static void for_each_scale(const RowPointers& rows, size_t at,
                                                    Body&& body) {
    VI scales[4];
    rows.load_16_bytes(at + offsetof(BlockQ6_K, scales), scales);
    const VF d = load_last_halves(rows, at + offsetof(BlockQ6_K, d));
    MINKE_UNROLL
    for (int g = 0; g < 16; ++g) {
      // An unsigned byte with its sign turned is 128 more than the signed one.
      const VF byte = byte_to_float(xor_bits(scales[g / 4], splat_byte(128)), g % 4);
      body(g, (byte - splat(128.0f)) * d, VF());
    }
  }
};

/// d and dmin at the end, sixteen bytes of a scale and a min.
template <>
struct LaneScales<BlockQ2_K> {
  template <class Body>
  [[gnu::always_inline]] static void for_each_scale(const RowPointers& rows, size_t at,
                                                    Body&& body) {
    VI packed[4], tail[4];
    rows.load_16_bytes(at + offsetof(BlockQ2_K, scales), packed);
    rows.load_16_bytes(at + sizeof(BlockQ2_K) - 16, tail);
    const VF d = low_halves(tail[3]), d_min = -low_halves(shift_right(tail[3], 16));
    MINKE_UNROLL
    for (int g = 0; g < 16; ++g) {
      const VI scales = and_bits(packed[g / 4], splat_byte(15));
      const VI mins = and_bits(shift_right(packed[g / 4], 4), splat_byte(15));
      body(g, byte_to_float(scales, g % 4) * d, byte_to_float(mins, g % 4) * d_min);
    }
  }
};

/// Six bits each, less 32, and d at the end.
template <>
struct LaneScales<BlockQ3_K> {
  template <class Body>
  [[gnu::always_inline]] static void for_each_scale(const RowPointers& rows, size_t at,
                                                    Body&& body) {
    VI packed[4];  // ..; the low bits of s0..3 and s8..11; of s4..7 and s12..15; the top bits of
                   // all
    rows.load_16_bytes(at + offsetof(BlockQ3_K, scales_low) - 4, packed);
    const VF d = load_last_halves(rows, at + offsetof(BlockQ3_K, d));
    const VI four = splat_byte(0x0F), top = splat_byte(0x30);
    MINKE_UNROLL
    for (int quad = 0; quad < 4; ++quad) {
      const VI low = and_bits(shift_right(packed[1 + quad % 2], quad / 2 * 4), four);
      const VI high = quad == 3 ? shift_right(packed[3], 2) : shift_left(packed[3], 4 - 2 * quad);
      const VI scales = or_bits(low, and_bits(high, top));
      MINKE_UNROLL
      for (int i = 0; i < 4; ++i)
        body(4 * quad + i, (byte_to_float(scales, i) - splat(32.0f)) * d, VF());
    }
  }
};

/// d, then six bits each, less 32.
template <>
struct LaneScales<BlockIQ4_XS> {
  template <class Body>
  [[gnu::always_inline]] static void for_each_scale(const RowPointers& rows, size_t at,
                                                    Body&& body) {
    VI head[4];
    rows.load_16_bytes(at, head);
    const VF d = low_halves(head[0]);
    MINKE_UNROLL
    for (int g = 0; g < 8; ++g) {
      const VI low = and_bits(shift_right(head[1], 4 * g), splat_i32(15));
      const VI high = and_bits(shift_right(head[0], 16 + 2 * g), splat_i32(3));
      body(g, (to_float(or_bits(low, shift_left(high, 4))) - splat(32.0f)) * d, VF());
    }
  }
};

}  // namespace
}  // namespace minke::cpu::MINKE_ISA_NS
