// Weights from the file into registers with AVX-512, 64 or 128 columns of a row at a time.
#pragma once

#include "backends/cpu/kernels/unpack_x86_scales.h"

namespace minke::cpu::MINKE_ISA_NS {
namespace {

inline VI low_nibbles(VI v) { return _mm512_and_si512(v, _mm512_set1_epi8(15)); }
inline VI high_nibbles(VI v) { return low_nibbles(_mm512_srli_epi16(v, 4)); }
/// `lower` in the lower half, `upper` in the upper.
inline VI dwords_of(int lower, int upper) {
  return _mm512_mask_set1_epi32(_mm512_set1_epi32(lower), 0xFF00, upper);
}
inline VI two_halves(const void* lower, const void* upper) {
  return _mm512_inserti64x4(_mm512_castsi256_si512(load32(lower)), load32(upper), 1);
}
/// The same 32 bytes in both halves.
inline VI twice(const void* p) { return _mm512_broadcast_i64x4(load32(p)); }
/// The nibbles of two blocks of 32 weights: low and high ones of `first`, then of `second`.
inline VI nibbles_of_two(const uint8_t* first, const uint8_t* second) {
  const VI bytes =
      _mm512_mask_broadcast_i32x4(_mm512_broadcast_i32x4(load16(first)), 0xFF00, load16(second));
  return low_nibbles(
      _mm512_srlv_epi32(bytes, _mm512_setr_epi32(0, 0, 0, 0, 4, 4, 4, 4, 0, 0, 0, 0, 4, 4, 4, 4)));
}

/// Where the columns of a piece are: quarter i of vector v holds columns 16 * kOrder[v][i] and on.
struct InOrder {
  static constexpr int kVectors = 1;
  static constexpr int kOrder[1][4] = {{0, 1, 2, 3}};
};
struct HalvesInOrder {
  static constexpr int kVectors = 2;
  static constexpr int kOrder[2][4] = {{0, 1, 2, 3}, {4, 5, 6, 7}};
};
struct LowThenHigh {  ///< 32 columns in low nibbles, the next 32 in the same bytes' high ones.
  static constexpr int kVectors = 2;
  static constexpr int kOrder[2][4] = {{0, 1, 4, 5}, {2, 3, 6, 7}};
};

/// How the weights of a format come into registers: load() gives piece `i` of a row. kSmall: eight
/// products together fit in 16 bits, since weights have at most five.
template <class Block>
struct Direct;

template <>
struct Direct<BlockQ4_0> : InOrder {
  static constexpr bool kSmall = true;
  static void load(const BlockQ4_0* row, int i, VI (&w)[1]) {
    w[0] = nibbles_of_two(row[2 * i].qs, row[2 * i + 1].qs);
  }
};

template <>
struct Direct<BlockQ5_0> : InOrder {
  static constexpr bool kSmall = true;
  static void load(const BlockQ5_0* row, int i, VI (&w)[1]) {
    uint32_t low, high;
    std::memcpy(&low, row[2 * i].qh, 4);
    std::memcpy(&high, row[2 * i + 1].qh, 4);
    const VI codes = nibbles_of_two(row[2 * i].qs, row[2 * i + 1].qs);
    w[0] = _mm512_mask_add_epi8(codes, uint64_t{high} << 32 | low, codes, _mm512_set1_epi8(16));
  }
};

template <>
struct Direct<BlockQ8_0> : InOrder {
  static constexpr bool kSmall = false;
  static void load(const BlockQ8_0* row, int i, VI (&w)[1]) {
    w[0] = _mm512_xor_si512(two_halves(row[2 * i].qs, row[2 * i + 1].qs),
                            _mm512_set1_epi8(static_cast<char>(kFullBias)));
  }
};

template <>
struct Direct<BlockQ4_K> : LowThenHigh {
  static constexpr bool kSmall = true;
  static void load(const BlockQ4_K* row, int i, VI (&w)[2]) {
    const VI codes = load_bytes(row[i / 2].qs + 64 * (i % 2));
    w[0] = low_nibbles(codes);
    w[1] = high_nibbles(codes);
  }
};

template <>
struct Direct<BlockQ5_K> : LowThenHigh {
  static constexpr bool kSmall = true;
  static void load(const BlockQ5_K* row, int i, VI (&w)[2]) {
    const BlockQ5_K& block = row[i / 2];
    const VI codes = load_bytes(block.qs + 64 * (i % 2)), high = twice(block.qh);
    // 32 columns' fifth bits are bit 4 * (i % 2) of 32 bytes, the next columns' the next bit.
    const VI mask = _mm512_set1_epi8(16);
    const VI first = _mm512_rolv_epi32(high, i % 2 == 0 ? dwords_of(4, 2) : dwords_of(0, 30));
    const VI second = _mm512_rolv_epi32(high, i % 2 == 0 ? dwords_of(3, 1) : dwords_of(31, 29));
    w[0] = _mm512_or_si512(low_nibbles(codes), _mm512_and_si512(first, mask));
    w[1] = _mm512_or_si512(high_nibbles(codes), _mm512_and_si512(second, mask));
  }
};

template <>
struct Direct<BlockQ6_K> : HalvesInOrder {
  static constexpr bool kSmall = false;
  static void load(const BlockQ6_K* row, int i, VI (&w)[2]) {
    const BlockQ6_K& block = row[i / 2];
    const VI codes = load_bytes(block.ql + 64 * (i % 2)), high = twice(block.qh + 32 * (i % 2));
    const VI mask = _mm512_set1_epi8(48);
    const VI first = _mm512_rolv_epi32(high, dwords_of(4, 2));
    const VI second = _mm512_rolv_epi32(high, dwords_of(0, 30));
    w[0] = _mm512_or_si512(low_nibbles(codes), _mm512_and_si512(first, mask));
    w[1] = _mm512_or_si512(high_nibbles(codes), _mm512_and_si512(second, mask));
  }
};

/// The columns of activations q that stand in vector v of a piece.
template <class D>
[[gnu::always_inline]] inline VI activations(const int8_t* q, int v) {
  return load_lanes(q + 16 * D::kOrder[v][0], q + 16 * D::kOrder[v][1], q + 16 * D::kOrder[v][2],
                    q + 16 * D::kOrder[v][3]);
}

}  // namespace
}  // namespace minke::cpu::MINKE_ISA_NS
