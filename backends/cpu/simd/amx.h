// Tiles of AMX: products of bytes by fours for 16 rows and 16 lanes at once. Intel, "Architecture
// Instruction Set Extensions Programming Reference", chapter 3.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace minke::cpu::MINKE_ISA_NS {
namespace {

/// A factor is 16 rows of 64 bytes. The left one's rows are rows of a matrix; row i of the right
/// one holds bytes 4i .. 4i + 3 of 16 lanes, which are the matrix's columns.
inline constexpr int kTileSize = 16;
inline constexpr int kTileBytes = kTileSize * 64;
/// Sums of so many products are made at once.
inline constexpr int kTilesAtOnce = 4;
using TileSums = int32_t[kTilesAtOnce][kTileSize][kTileSize];

/// Makes the tile registers ready while it lives.
class TileRegisters {
 public:
  TileRegisters() noexcept {
    alignas(64) static constexpr Config kConfig{
        .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
        .rows = {kTileSize, kTileSize, kTileSize, kTileSize, kTileSize, kTileSize, kTileSize,
                 kTileSize}};
    _tile_loadconfig(&kConfig);
  }
  ~TileRegisters() { _tile_release(); }
  TileRegisters(const TileRegisters&) = delete;
  TileRegisters& operator=(const TileRegisters&) = delete;

 private:
  struct Config {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t row_bytes[16];
    uint8_t rows[16];
  };
  static_assert(sizeof(Config) == 64);
};

// The macros want literal register numbers. GCC 12 does not know that they read memory: who has
// just written what they read says so with written_for_tiles(). It does know that storing a tile
// may write any memory, so what is written behind store_sums() stays behind the loads before it.

inline void written_for_tiles() { asm volatile("" ::: "memory"); }

inline void zero_sums() {
  _tile_zero(4);
  _tile_zero(5);
  _tile_zero(6);
  _tile_zero(7);
}
inline void store_sums(TileSums& sums) {
  constexpr size_t kStride = kTileSize * sizeof(int32_t);
  _tile_stored(4, sums[0], kStride);
  _tile_stored(5, sums[1], kStride);
  _tile_stored(6, sums[2], kStride);
  _tile_stored(7, sums[3], kStride);
}

/// sums[i] = rows 16 i to 16 i + 15 of left, signed and row_bytes apart, times n tiles from right
/// on, unsigned; for n_left of four i.
inline void multiply_lefts(const int8_t* left, ptrdiff_t row_bytes, int n_left,
                           const uint8_t* right, int n, TileSums& sums) {
  const ptrdiff_t next = kTileSize * row_bytes;
  zero_sums();
  for (int tile = 0; tile < n; ++tile, left += 64, right += kTileBytes) {
    _tile_loadd(0, right, 64);
    _tile_loadd(1, left, row_bytes);
    _tile_dpbsud(4, 1, 0);
    if (n_left > 1) {
      _tile_loadd(2, left + next, row_bytes);
      _tile_dpbsud(5, 2, 0);
    }
    if (n_left > 2) {
      _tile_loadd(1, left + 2 * next, row_bytes);
      _tile_dpbsud(6, 1, 0);
    }
    if (n_left > 3) {
      _tile_loadd(2, left + 3 * next, row_bytes);
      _tile_dpbsud(7, 2, 0);
    }
  }
  store_sums(sums);
}

/// sums[i] = left, signed, times tile i from right on, unsigned; for four i.
inline void multiply_rights(const int8_t* left, const uint8_t* right, TileSums& sums) {
  zero_sums();
  _tile_loadd(0, left, 64);
  _tile_loadd(1, right, 64);
  _tile_dpbsud(4, 0, 1);
  _tile_loadd(2, right + kTileBytes, 64);
  _tile_dpbsud(5, 0, 2);
  _tile_loadd(1, right + 2 * kTileBytes, 64);
  _tile_dpbsud(6, 0, 1);
  _tile_loadd(2, right + 3 * kTileBytes, 64);
  _tile_dpbsud(7, 0, 2);
  store_sums(sums);
}

}  // namespace
}  // namespace minke::cpu::MINKE_ISA_NS
