// Attention over cached latent rows in integers: what the kernels and the op share.
//
// A tile of 64 cached rows is rounded to int8 once, with one scale a row, and used by all queries:
// as keys, row by row, and, interleaved by fours, as values. The rotated part of a row, whose few
// values can be far larger than the others, has 13 bits and a scale of its own; a cache of type q8
// keeps its rows so. Query rows are rounded alike. The weights of a tile's keys, each times its
// key's scale, are rounded to 7 bits of the largest of the query row, and what rounding takes from
// one is given to the next, so that many small weights do not get lost beside a large one. Integer
// sums are exact; a row's floats are added up in the order of the keys. So a result does not depend
// on which rows are computed together, nor on the instruction set (as far as it has FMA).
#pragma once

#include <cstddef>
#include <cstdint>

#include "quant/format.h"

namespace minke::cpu {

inline constexpr int kLatentKeys = 64;   ///< Cached rows of a tile.
inline constexpr int kLatentGroup = 16;  ///< Cached rows that queries meet at a time.

/// Rows are `rank` values followed by `rope` rotated ones.
struct LatentDims {
  int rank, rope;
};

/// False where sums could leave 32 bits.
constexpr bool latent_fits(const LatentDims& d) noexcept {
  return d.rank <= 32768 && d.rope <= 128 && d.rope % 2 == 0;
}

/// Cached rows as the kernels read them; kIntegers: as CacheRow keeps them, with bytes for the
/// latent values and 16 bits for the rotated ones.
enum class LatentRows : uint8_t { kF32, kF16, kBF16, kIntegers };

/// A tile of cached rows. Vectors are of `lanes` dwords (KernelTable::lanes); columns of copies and
/// values are padded with zeros to whole vectors.
struct LatentKeys {
  LatentDims dims;
  const int8_t *bytes, *rotated;  ///< (64, row_bytes) bytes, 16-bit numbers: the cache's or copies
  ptrdiff_t row_bytes;            ///< from one row to the next
  int8_t* copies;        ///< (64, rank + 2 rope) bytes, of rows that are not read as they are
  uint8_t* values;       ///< (rank / lanes, 16, lanes, 4): the bytes of four rows side by side
  float* scale;          ///< (64) of the bytes
  float* rotated_scale;  ///< (64)
  int32_t* start;        ///< (64) what sums with queries' bytes start at
};

/// Query rows in groups of `lanes`, a lane each.
struct LatentQueries {
  LatentDims dims;
  uint8_t* bytes;        ///< (groups, rank / 4, lanes, 4), as the instruction set wants them
  int16_t* rotated;      ///< (groups, rope / 2, lanes, 2)
  float* scale;          ///< (groups, lanes) of the bytes, times the scale of attention
  float* rotated_scale;  ///< (groups, lanes)
};

// Layouts; `storage` is 64-byte aligned and of that many bytes, or null.
size_t latent_keys_bytes(const LatentDims& dims, int lanes) noexcept;
LatentKeys latent_keys_at(void* storage, const LatentDims& dims, int lanes) noexcept;
size_t latent_queries_bytes(const LatentDims& dims, int lanes, int n_rows) noexcept;
LatentQueries latent_queries_at(void* storage, const LatentDims& dims, int lanes,
                                int n_rows) noexcept;

/// Memory that will be read soon: the rows of the next tile.
struct LatentAhead {
  const std::byte* rows = nullptr;
  size_t bytes = 0;
};

/// The running softmax of query rows over tiles, as in SoftmaxState; before the first tile m is
/// kLatentNoScore, l and o are zeros.
struct LatentState {
  int n_rows;
  const int32_t* visible;  ///< (n_rows) how many keys of the tile each row sees, 0..n_keys
  float *m, *l;            ///< (n_rows)
  float* o;                ///< (n_rows, rank)
};
inline constexpr float kLatentNoScore = -1e30f;

}  // namespace minke::cpu
