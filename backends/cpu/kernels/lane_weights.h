// Weights of kLanes rows from the file into registers: row r in lane r, four columns a lane. Codes
// are turned while they are packed, and spread over bytes after.
#pragma once

#include "backends/cpu/kernels/row_pointers.h"
#include "backends/cpu/kernels/unpack_generic.h"

namespace minke::cpu::MINKE_ISA_NS {
namespace {

inline VI low_nibbles(VI v) { return and_bits(v, splat_byte(15)); }
inline VI high_nibbles(VI v) { return low_nibbles(shift_right(v, 4)); }
/// Of every byte the bits of `mask` after moving them from bit `from` to bit `to`.
inline VI move_bits(VI v, int from, int to, int mask) {
  if (from > to) v = shift_right(v, from - to);
  if (from < to) v = shift_left(v, to - from);
  return and_bits(v, splat_byte(mask));
}

/// for_each_16 calls body(i, weight) for every 16 columns i of the blocks at byte `at` of the rows:
/// lane r of weight(j) holds columns 16 * i + 4 * j and on of row r, as find_unpacker() says. The
/// order is any where 16 columns share a scale. Groups of 32 begin and end in order, their first 16
/// columns before the others, and at most two neighbours are begun and not ended.
template <class Block>
struct LaneWeights;

/// Spreads 16 bytes a row over columns 16 * low and on, their low nibbles, and 16 * high and on.
/// finish(codes, j, is_high) makes the weights of dword j out of codes.
template <class Finish, class Body>
[[gnu::always_inline]] inline void for_nibbles(const VI (&packed)[4], int low, int high,
                                               Finish&& finish, Body&& body) {
  body(low, [&](int j) { return finish(low_nibbles(packed[j]), j, 0); });
  body(high, [&](int j) { return finish(high_nibbles(packed[j]), j, 1); });
}
/// What finish is where codes are weights.
inline constexpr auto kAsTheyAre = [](VI codes, int, int) { return codes; };

/// Blocks of 32 whose codes have four bits.
template <class Block>
struct LaneNibbles {
  template <class Body>
  [[gnu::always_inline]] static void for_each_16(const RowPointers& rows, size_t at, Body&& body) {
    VI packed[4];
    rows.load_16_bytes(at + offsetof(Block, qs), packed);
    for_nibbles(packed, 0, 1, kAsTheyAre, body);
  }
};
template <>
struct LaneWeights<BlockQ4_0> : LaneNibbles<BlockQ4_0> {};
template <>
struct LaneWeights<BlockQ4_1> : LaneNibbles<BlockQ4_1> {};

/// Blocks of 32 whose codes have a fifth bit, in the four bytes qh.
template <class Block>
struct LaneFiveBits {
  template <class Body>
  [[gnu::always_inline]] static void for_each_16(const RowPointers& rows, size_t at, Body&& body) {
    constexpr size_t kHigh = offsetof(Block, qh);
    VI head[4];
    rows.load_16_bytes(at, head);
    const VI high = kHigh % 4 == 0 ? head[kHigh / 4]
                                   : or_bits(shift_right(head[kHigh / 4], 16),
                                             shift_left(head[kHigh / 4 + 1], 16));
    const auto add_high = [&](VI codes, int j, int half) {
      return or_bits(codes, fifth_bits(high, 4 * half + j));
    };
    VI packed[4];
    rows.load_16_bytes(at + offsetof(Block, qs), packed);
    for_nibbles(packed, 0, 1, add_high, body);
  }
};
template <>
struct LaneWeights<BlockQ5_0> : LaneFiveBits<BlockQ5_0> {};
template <>
struct LaneWeights<BlockQ5_1> : LaneFiveBits<BlockQ5_1> {};

template <>
struct LaneWeights<BlockQ8_0> {
  template <class Body>
  [[gnu::always_inline]] static void for_each_16(const RowPointers& rows, size_t at, Body&& body) {
    VI w[2][4];
    rows.load_32_bytes(at + offsetof(BlockQ8_0, qs), w[0], w[1]);
    MINKE_UNROLL
    for (int i = 0; i < 2; ++i)
      body(i, [&](int j) {
        return kFullBias != 0 ? xor_bits(w[i][j], splat_byte(kFullBias)) : w[i][j];
      });
  }
};

inline VI iq4_weights(VI codes) {
  const __m128i levels = _mm_add_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(kIq4Levels)),
                                      _mm_set1_epi8(static_cast<char>(kFullBias)));
  return look_up(levels, codes);
}

inline constexpr auto kIq4Finish = [](VI codes, int, int) { return iq4_weights(codes); };

template <>
struct LaneWeights<BlockIQ4_NL> {
  template <class Body>
  [[gnu::always_inline]] static void for_each_16(const RowPointers& rows, size_t at, Body&& body) {
    VI packed[4];
    rows.load_16_bytes(at + offsetof(BlockIQ4_NL, qs), packed);
    for_nibbles(packed, 0, 1, kIq4Finish, body);
  }
};

template <>
struct LaneWeights<BlockIQ4_XS> {
  template <class Body>
  [[gnu::always_inline]] static void for_each_16(const RowPointers& rows, size_t at, Body&& body) {
    for (int part = 0; part < 4; ++part) {
      VI packed[2][4];
      rows.load_32_bytes(at + offsetof(BlockIQ4_XS, qs) + static_cast<size_t>(32 * part), packed[0],
                         packed[1]);
      for_nibbles(packed[0], 4 * part, 4 * part + 1, kIq4Finish, body);
      for_nibbles(packed[1], 4 * part + 2, 4 * part + 3, kIq4Finish, body);
    }
  }
};

/// High nibbles stay where they are: sixteen times the codes, which LaneScales<BlockQ4_K> makes up
/// for.
template <>
struct LaneWeights<BlockQ4_K> {
  template <class Body>
  [[gnu::always_inline]] static void for_each_16(const RowPointers& rows, size_t at, Body&& body) {
    MINKE_UNROLL
    for (int part = 0; part < 4; ++part) {
      VI packed[2][4];
      rows.load_32_bytes(at + offsetof(BlockQ4_K, qs) + static_cast<size_t>(32 * part), packed[0],
                         packed[1]);
      MINKE_UNROLL
      for (int i = 0; i < 2; ++i) {
        body(4 * part + i, [&](int j) { return low_nibbles(packed[i][j]); });
        body(4 * part + 2 + i, [&](int j) {
          return kHighInPlace ? and_bits(packed[i][j], splat_byte(0xF0))
                              : high_nibbles(packed[i][j]);
        });
      }
    }
  }
};

template <>
struct LaneWeights<BlockQ5_K> {
  template <class Body>
  [[gnu::always_inline]] static void for_each_16(const RowPointers& rows, size_t at, Body&& body) {
    VI high[2][4];
    rows.load_32_bytes(at + offsetof(BlockQ5_K, qh), high[0], high[1]);
    for (int part = 0; part < 4; ++part) {
      VI packed[2][4];
      rows.load_32_bytes(at + offsetof(BlockQ5_K, qs) + static_cast<size_t>(32 * part), packed[0],
                         packed[1]);
      MINKE_UNROLL
      for (int i = 0; i < 2; ++i) {
        const auto add_high = [&](VI codes, int j, int is_high) {
          return or_bits(codes, move_bits(high[i][j], is_high, 4, 16));
        };
        for_nibbles(packed[i], 4 * part + i, 4 * part + 2 + i, add_high, body);
        MINKE_UNROLL
        for (int j = 0; j < 4; ++j) high[i][j] = shift_right(high[i][j], 2);
      }
    }
  }
};

template <>
struct LaneWeights<BlockQ6_K> {
  template <class Body>
  [[gnu::always_inline]] static void for_each_16(const RowPointers& rows, size_t at, Body&& body) {
    for (int half = 0; half < 2; ++half) {
      VI high[2][4];
      rows.load_32_bytes(at + offsetof(BlockQ6_K, qh) + static_cast<size_t>(32 * half), high[0],
                         high[1]);
      MINKE_UNROLL
      for (int quarter = 0; quarter < 2; ++quarter) {
        VI packed[2][4];
        rows.load_32_bytes(
            at + offsetof(BlockQ6_K, ql) + static_cast<size_t>(64 * half + 32 * quarter), packed[0],
            packed[1]);
        MINKE_UNROLL
        for (int i = 0; i < 2; ++i) {
          const auto add_high = [&](VI codes, int j, int is_high) {
            return or_bits(codes, move_bits(high[i][j], 2 * quarter + 4 * is_high, 4, 48));
          };
          const int first = 8 * half + 2 * quarter + i;
          for_nibbles(packed[i], first, first + 4, add_high, body);
        }
      }
    }
  }
};

/// 16 bytes a row hold 64 columns, two bits each, 16 of every 32 from column 16 * i on.
template <class Finish, class Body>
[[gnu::always_inline]] inline void for_two_bits(const VI (&packed)[4], int i, Finish&& finish,
                                                Body&& body) {
  MINKE_UNROLL
  for (int k = 0; k < 4; ++k)
    body(i + 2 * k, [&](int j) { return finish(move_bits(packed[j], 2 * k, 0, 3), j, k); });
}

template <>
struct LaneWeights<BlockQ2_K> {
  template <class Body>
  [[gnu::always_inline]] static void for_each_16(const RowPointers& rows, size_t at, Body&& body) {
    for (int half = 0; half < 2; ++half) {
      VI packed[2][4];
      rows.load_32_bytes(at + offsetof(BlockQ2_K, qs) + static_cast<size_t>(32 * half), packed[0],
                         packed[1]);
      for_two_bits(packed[0], 8 * half, kAsTheyAre, body);
      for_two_bits(packed[1], 8 * half + 1, kAsTheyAre, body);
    }
  }
};

template <>
struct LaneWeights<BlockQ3_K> {
  template <class Body>
  [[gnu::always_inline]] static void for_each_16(const RowPointers& rows, size_t at, Body&& body) {
    VI high[2][4];
    rows.load_32_bytes(at + offsetof(BlockQ3_K, hmask), high[0], high[1]);
    for (int half = 0; half < 2; ++half) {
      VI packed[2][4];
      rows.load_32_bytes(at + offsetof(BlockQ3_K, qs) + static_cast<size_t>(32 * half), packed[0],
                         packed[1]);
      MINKE_UNROLL
      for (int i = 0; i < 2; ++i) {
        const auto add_high = [&](VI codes, int j, int k) {
          return or_bits(codes, move_bits(high[i][j], k, 2, 4));
        };
        for_two_bits(packed[i], 8 * half + i, add_high, body);
        MINKE_UNROLL
        for (int j = 0; j < 4; ++j) high[i][j] = shift_right(high[i][j], 4);
      }
    }
  }
};

}  // namespace
}  // namespace minke::cpu::MINKE_ISA_NS
