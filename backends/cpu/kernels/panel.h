// A panel: kRows weight rows times up to 512 columns, unpacked into the L1 cache.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backends/cpu/kernels/matmul.h"
#include "backends/cpu/kernels/unpack.h"

namespace minke::cpu::MINKE_ISA_NS {
namespace {

#if defined(__AVX512BW__)
inline constexpr int kVectors = 2;     ///< Vectors of rows in a panel...
inline constexpr int kMaxColumns = 6;  ///< ...times activation rows fill the registers.
#elif defined(__AVXVNNI__)
inline constexpr int kVectors = 2;
inline constexpr int kMaxColumns = 4;
#elif defined(__AVX2__)
inline constexpr int kVectors = 2;
inline constexpr int kMaxColumns = 2;
#else
inline constexpr int kVectors = 2;
inline constexpr int kMaxColumns = 4;
#endif
inline constexpr int kRows = kVectors * kLanes;
inline constexpr int kChunkBlocks = 16;  ///< 32-blocks of a panel: what the L1 cache holds.
inline constexpr int kChunk = kChunkBlocks * kQuantBlock;
inline constexpr int kChunkGroups = kChunk / 16;

// Where there is FMA, integer sums start at this float's bits: up to 2^22 more or less, the sum's
// bits read as a float are kMagic + sum, and fma(bits, scale, -kMagic * scale) is sum * scale,
// rounded once (scales have at most 18 significant bits, so the last term is exact). That saves
// the conversion.
inline constexpr float kMagic = 0x1.8p23f;
inline constexpr int32_t kMagicBits = kHasFma ? 0x4B400000 : 0;

/// What belongs to the groups of an activation row beside its bytes. One of the two is used.
struct GroupSums {
  const int32_t* start;  ///< Formats with an offset: what integer sums start at.
  const float* sum;      ///< Formats with mins: the activations' sum.
};

/// Activation rows of a tile, for the columns of a panel.
struct TileColumns {
  const int8_t* q[kMaxColumns];
  const float* scale[kMaxColumns];  ///< One a 32-block.
  GroupSums sums[kMaxColumns];
  alignas(64) unsigned char room[kMaxColumns][kChunkGroups * 4];  ///< For sums.
  float* y[kMaxColumns];                                          ///< kRows results each.
};

/// The weights that the panel after this one takes: fetched while this one is multiplied, a piece
/// of a row now and then, since many lines at once fill the queues that the loads need too.
class NextPanel {
 public:
  /// n_rows pieces of n_bytes, row_bytes apart, within n_turns calls of fetch().
  NextPanel(const uint8_t* first, size_t row_bytes, int n_rows, size_t n_bytes, int n_turns)
      : next_(first),
        row_bytes_(row_bytes),
        n_bytes_(n_bytes),
        n_rows_(n_rows),
        n_turns_(n_turns) {}
  void fetch() {
    for (due_ += n_rows_; due_ >= n_turns_; due_ -= n_turns_) {
      for (size_t i = 0; i < n_bytes_; i += 64) __builtin_prefetch(next_ + i, 0, 2);
      next_ += row_bytes_;
    }
  }

 private:
  const uint8_t* next_;
  size_t row_bytes_, n_bytes_;
  int n_rows_, n_turns_;
  int due_ = 0;  ///< Rows that are due, times n_turns_.
};

struct alignas(64) Panel {
  /// Dword (k, row): bytes 4k .. 4k + 3 of the row.
  uint8_t dwords[kChunk / 4][kRows][4];
  float scale[kChunkGroups][kRows];
  float magic_scale[kChunkGroups][kRows];  ///< -kMagic * scale
  float min[kChunkGroups][kRows];
  // Row by row, before transposing.
  uint8_t bytes[kLanes][kChunk];
  float row_scale[kLanes][kChunkGroups];
  float row_min[kLanes][kChunkGroups];

  TileColumns columns;
  float rest[kMaxColumns][kRows];  ///< Results of a panel that has fewer than kRows rows.
};
static_assert(sizeof(Panel) <= kMatmulScratchBytes);

}  // namespace
}  // namespace minke::cpu::MINKE_ISA_NS
