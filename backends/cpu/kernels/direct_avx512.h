// Products of one to three activation rows with AVX-512: weights go from the file into registers,
// 64 or 128 columns of a row at a time, and never through a panel. One answer token at a time is
// bound by memory bandwidth, and unpacking into the L1 cache first would take longer than reading.
#pragma once

#include "backends/cpu/kernels/direct_scales_avx512.h"
#include "backends/cpu/kernels/tile.h"

namespace minke::cpu::MINKE_ISA_NS {
namespace {

inline VI low_nibbles(VI v) { return _mm512_and_si512(v, _mm512_set1_epi8(15)); }
inline VI high_nibbles(VI v) { return low_nibbles(_mm512_srli_epi16(v, 4)); }
/// Keeps a value that is used twice in a register: GCC 12 stores it and loads it back.
inline VI in_register(VI v) {
  asm("" : "+v"(v));
  return v;
}
/// `lower` in the lower half, `upper` in the upper.
inline VI dwords_of(int lower, int upper) {
  return _mm512_mask_set1_epi32(_mm512_set1_epi32(lower), 0xFF00, upper);
}
inline VI two_halves(const void* lower, const void* upper) {
  const auto load = [](const void* p) {
    return _mm256_loadu_si256(static_cast<const __m256i*>(p));
  };
  return _mm512_inserti64x4(_mm512_castsi256_si512(load(lower)), load(upper), 1);
}
/// The same 32 bytes in both halves.
inline VI twice(const void* p) {
  return _mm512_broadcast_i64x4(_mm256_loadu_si256(static_cast<const __m256i*>(p)));
}
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
    const VI codes = in_register(load_bytes(row[i / 2].qs + 64 * (i % 2)));
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
  VI x = _mm512_castsi128_si512(load16(q + 16 * D::kOrder[v][0]));
  x = _mm512_inserti32x4(x, load16(q + 16 * D::kOrder[v][1]), 1);
  x = _mm512_inserti32x4(x, load16(q + 16 * D::kOrder[v][2]), 2);
  return _mm512_inserti32x4(x, load16(q + 16 * D::kOrder[v][3]), 3);
}

/// sums[c][g] = integer sums of 16 columns g of kLanes weight rows times activation row c.
template <class Format, class Block, int kN>
[[gnu::always_inline]] inline void sum_products(const RowPointers& rows, const TileColumns& columns,
                                                int n_blocks, VI (&sums)[kN][kChunkGroups]) {
  using D = Direct<Block>;
  constexpr int kPiece = 64 * D::kVectors;
  constexpr size_t kPieceBytes = kPiece * sizeof(Block) / Block::kLen;
  for (int piece = 0; piece < n_blocks * kQuantBlock / kPiece; ++piece) {
    VI x[kN][D::kVectors];
    MINKE_UNROLL
    for (int c = 0; c < kN; ++c) MINKE_UNROLL
    for (int v = 0; v < D::kVectors; ++v)
      x[c][v] = activations<D>(columns.q[c] + piece * kPiece, v);
    VI quads[kN][D::kVectors][4];
    for (int quad = 0; quad < 4; ++quad) {
      VI products[kN][D::kVectors][4];
      MINKE_UNROLL
      for (int r = 0; r < 4; ++r) {
        // A few lines at a time: many at once would fill the queues that the loads need too.
        const uint8_t* next = rows.next(4 * quad + r) + static_cast<size_t>(piece) * kPieceBytes;
        __builtin_prefetch(next, 0, 2);
        if constexpr (kPieceBytes > 64) __builtin_prefetch(next + 64, 0, 2);
        VI w[D::kVectors];
        D::load(rows.template at<Block>(4 * quad + r), piece, w);
        MINKE_UNROLL
        for (int c = 0; c < kN; ++c) MINKE_UNROLL
        for (int v = 0; v < D::kVectors; ++v)
          products[c][v][r] = products_of<Format>(w[v], x[c][v]);
      }
      MINKE_UNROLL
      for (int c = 0; c < kN; ++c) MINKE_UNROLL
      for (int v = 0; v < D::kVectors; ++v)
        quads[c][v][quad] = D::kSmall ? sum_small_lanes(products[c][v]) : sum_lanes(products[c][v]);
    }
    MINKE_UNROLL
    for (int c = 0; c < kN; ++c) {
      MINKE_UNROLL
      for (int v = 0; v < D::kVectors; ++v) {
        VI reduced[4];
        transpose_lanes(quads[c][v], reduced);
        MINKE_UNROLL
        for (int i = 0; i < 4; ++i) sums[c][piece * 4 * D::kVectors + D::kOrder[v][i]] = reduced[i];
      }
    }
  }
}

/// kLanes weight rows times kN of panel.columns: vector v of the panel's rows. The same sums in
/// the same order as multiply_tile.
template <class Format, class Block, int kN>
void multiply_direct_rows(const RowPointers& rows, int n_blocks, int v, bool from_zero,
                          Panel& panel) {
  const TileColumns& columns = panel.columns;
  VI sums[kN][kChunkGroups];
  sum_products<Format, Block, kN>(rows, columns, n_blocks, sums);
  VF results[1][kN];
  MINKE_UNROLL
  for (int c = 0; c < kN; ++c)
    results[0][c] = from_zero ? splat(0.0f) : load(columns.y[c] + v * kLanes);
  DirectScales<Block>::for_each_scale(rows, n_blocks, [&](int group, VF scale, VF min) {
    if constexpr (Format::kHasMin) store(&panel.min[group][v * kLanes], min);
    const VF magic_scale = scale * splat(-kMagic);
    MINKE_UNROLL
    for (int c = 0; c < kN; ++c) {
      const VI sum =
          add_i32(group_sum<Format>(sums[c], group), start_of<Format>(columns, c, group));
      results[0][c] = madd(madd(bits_as_float(sum), scale, magic_scale),
                           splat(columns.scale[c][group / Format::kGroups]), results[0][c]);
    }
  });
  if constexpr (Format::kHasMin)
    add_mins(panel, v * kLanes, n_blocks * Format::kGroups, columns.sum, results);
  MINKE_UNROLL
  for (int c = 0; c < kN; ++c) store(columns.y[c] + v * kLanes, results[0][c]);
}

/// The same for any kN, for weight rows of Block that begin at w. What lies `next` bytes further on
/// is fetched meanwhile.
template <class Format, class Block>
void multiply_direct(const uint8_t* w, size_t row_bytes, int n_rows, ptrdiff_t next, int n_blocks,
                     int n, int v, bool from_zero, Panel& panel) {
  const RowPointers rows(w, row_bytes, n_rows, next);
  if (n == 1) return multiply_direct_rows<Format, Block, 1>(rows, n_blocks, v, from_zero, panel);
  if (n == 2) return multiply_direct_rows<Format, Block, 2>(rows, n_blocks, v, from_zero, panel);
  multiply_direct_rows<Format, Block, 3>(rows, n_blocks, v, from_zero, panel);
}

}  // namespace
}  // namespace minke::cpu::MINKE_ISA_NS
