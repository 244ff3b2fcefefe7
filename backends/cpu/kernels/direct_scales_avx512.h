// Scales and mins of sixteen weight rows at once, in registers: lane r is row r.
#pragma once

#include "backends/cpu/kernels/row_pointers_avx512.h"
#include "backends/cpu/kernels/unpack_x86_scales.h"

namespace minke::cpu::MINKE_ISA_NS {
namespace {

/// The halves in the lower 16 bits of the lanes.
inline VF low_halves(VI dwords) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(dwords)); }

/// Byte i of every lane, unsigned.
inline VF byte_to_float(VI lanes, int i) {
  return to_float(_mm512_and_si512(_mm512_srli_epi32(lanes, static_cast<unsigned>(8 * i)),
                                   _mm512_set1_epi32(255)));
}

/// The scales (and mins) of kLanes rows: for_each_scale calls body(group, scale, min) for the
/// groups of n blocks from `block` on, in order, the first group being 0. Q4_0, Q5_0, Q8_0: a half
/// at the beginning of every block of 32.
template <class Block>
struct DirectScales {
  template <class Body>
  [[gnu::always_inline]] static void for_each_scale(const RowPointers& rows, int block, int n,
                                                    Body&& body) {
    static_assert(Block::kLen == 32 && offsetof(Block, d) == 0);
    MINKE_UNROLL
    for (int b = 0; b < n; ++b)
      body(b, low_halves(rows.gather(static_cast<size_t>(block + b) * sizeof(Block))), VF());
  }
};

/// Q4_K and Q5_K: d, dmin and twelve bytes that k_scales.h draws.
template <class Block>
struct DirectKScales {
  template <class Body>
  [[gnu::always_inline]] static void for_each_scale(const RowPointers& rows, int block, int n,
                                                    Body&& body) {
    const VI six = _mm512_set1_epi32(0x3F3F3F3F), four = _mm512_set1_epi32(0x0F0F0F0F),
             top = _mm512_set1_epi32(0x30303030);
    const auto top_of = [&](VI lanes) {
      return _mm512_and_si512(_mm512_srli_epi32(lanes, 2), top);
    };
    for (int b = 0; b < n; ++b) {
      VI head[4];  // d and dmin; s0..3 with the top of s4..7; m0..3 likewise; s4..7 and m4..7
      rows.load_16_bytes(static_cast<size_t>(block + b) * sizeof(Block), head);
      const VF d = low_halves(head[0]);
      const VF d_min = -low_halves(_mm512_srli_epi32(head[0], 16));
      const VI scales[2] = {_mm512_and_si512(head[1], six),
                            _mm512_or_si512(_mm512_and_si512(head[3], four), top_of(head[1]))};
      const VI mins[2] = {
          _mm512_and_si512(head[2], six),
          _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi32(head[3], 4), four), top_of(head[2]))};
      MINKE_UNROLL
      for (int g = 0; g < 8; ++g)
        body(8 * b + g, byte_to_float(scales[g / 4], g % 4) * d,
             byte_to_float(mins[g / 4], g % 4) * d_min);
    }
  }
};

template <>
struct DirectScales<BlockQ4_K> : DirectKScales<BlockQ4_K> {};
template <>
struct DirectScales<BlockQ5_K> : DirectKScales<BlockQ5_K> {};

/// Sixteen signed bytes, and d at the end of the block.
template <>
struct DirectScales<BlockQ6_K> {
  template <class Body>
  [[gnu::always_inline]] static void for_each_scale(const RowPointers& rows, int block, int n,
                                                    Body&& body) {
    for (int b = 0; b < n; ++b) {
      const size_t at = static_cast<size_t>(block + b) * sizeof(BlockQ6_K);
      VI scales[4];
      rows.load_16_bytes(at + offsetof(BlockQ6_K, scales), scales);
      // d is the last half of the block: take the dword that ends with it.
      const VF d = low_halves(_mm512_srli_epi32(rows.gather(at + offsetof(BlockQ6_K, d) - 2), 16));
      MINKE_UNROLL
      for (int g = 0; g < 16; ++g) {
        const VI byte = _mm512_srai_epi32(
            _mm512_slli_epi32(scales[g / 4], static_cast<unsigned>(24 - 8 * (g % 4))), 24);
        body(16 * b + g, to_float(byte) * d, VF());
      }
    }
  }
};

}  // namespace
}  // namespace minke::cpu::MINKE_ISA_NS
