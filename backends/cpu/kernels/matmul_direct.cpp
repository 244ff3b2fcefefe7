#include "backends/cpu/kernels/matmul_direct.h"

#if defined(__AVX2__)
#include "backends/cpu/kernels/lane_scales.h"
#include "backends/cpu/kernels/lane_weights.h"
#include "backends/cpu/kernels/tile.h"

namespace minke::cpu::MINKE_ISA_NS {
namespace {

/// Up to this many activation rows it is cheaper to spread weights over registers again for each
/// tile of weight rows than to keep them in a panel.
inline constexpr int kMostRows = kLanes == 16 ? 8 : 6;

/// Activation rows of all columns.
template <int kN>
struct Columns {
  const int8_t* q[kN];
  const float* scale[kN];
  GroupSums sums[kN];
  float* y[kN];
};

template <class Format, int kN>
Columns<kN> direct_columns(const MatmulArgs& args, int offset) {
  const QuantizedRows& xq = *args.xq;
  const int n_groups = args.n_cols / Format::kGroup;
  const int room = (n_groups + kLanes - 1) / kLanes * kLanes;
  Columns<kN> columns;
  for (int c = 0; c < kN; ++c) {
    const auto row = static_cast<size_t>(args.x_rows != nullptr ? args.x_rows[c] : c);
    const size_t at = row * static_cast<size_t>(args.n_cols);
    columns.q[c] = xq.q + at;
    columns.scale[c] = xq.scale + at / kQuantBlock;
    columns.sums[c] = group_sums<Format>(xq, at, offset, args.n_cols / kQuantBlock,
                                         static_cast<float*>(args.scratch) + c * room);
    columns.y[c] = result(args, c, 0);
  }
  return columns;
}

/// Fetches what comes next: evenly, since many lines at once fill the queues that the loads need
/// too. The next rows go to the L2 cache, and what lies a little further in these rows from there
/// to the L1 cache: one line of every row at once would be waited for.
class Ahead {
 public:
  Ahead(const uint8_t* next, size_t row_bytes)
      : next_(next), row_bytes_(row_bytes), all_bytes_(kLanes * row_bytes) {}
  /// To be called once for every 16 columns: those from column 16 * i of these rows on.
  template <class Block>
  [[gnu::always_inline]] void fetch(const RowPointers& rows, int i) {
    constexpr size_t kStep = kLanes * 16 * sizeof(Block) / Block::kLen;  // Of all rows.
    static_assert(kStep * Block::kLen == kLanes * 16 * sizeof(Block));
    rows.fetch_quarter(i % 4, static_cast<size_t>(i) * kStep / kLanes + kNear);
    due_ += kStep;
    MINKE_UNROLL
    for (size_t most = 0; most < kStep; most += kLine) {
      if (due_ < kLine) break;
      due_ -= kLine;
      __builtin_prefetch(next_ + row_at_, 0, 2);
      row_at_ += row_bytes_;
      if (row_at_ != all_bytes_) continue;
      row_at_ = 0;
      next_ += kLine;
    }
  }

 private:
  static constexpr size_t kNear = 128, kLine = 64;
  // A line of every row, then the next of every row: rows lie in several pages, so the addresses
  // of pages are looked up side by side, and before all of their lines are wanted.
  const uint8_t* next_;
  size_t row_bytes_, all_bytes_;
  size_t row_at_ = 0;  ///< Where the row begins whose line is next.
  size_t due_ = 0;     ///< Bytes that these rows are ahead of what was asked for.
};

/// results[c] = kLanes weight rows times activation row c: the same sums in the same order as
/// multiply_tile, which adds the mins of kChunk columns after their products.
template <class Format, class Block, int kN>
[[gnu::always_inline]] inline void multiply_rows(const RowPointers& rows, int n_cols,
                                                 const Columns<kN>& columns, Ahead& ahead,
                                                 VF (&results)[kN]) {
  constexpr int kLen = static_cast<int>(Block::kLen);
  constexpr int kGroups = kLen / Format::kGroup;  // In a block.
  constexpr int kBlocksOfChunk = kChunk / kLen;
  VF mins[kBlocksOfChunk * kGroups];
  MINKE_UNROLL
  for (int c = 0; c < kN; ++c) results[c] = splat(0.0f);
  for (int block = 0; block < n_cols / kLen; ++block) {
    const size_t at = static_cast<size_t>(block) * sizeof(Block);
    const int first = block * kGroups, in_chunk = block % kBlocksOfChunk;
    VI sums[kN][kGroups];
    MINKE_UNROLL
    for (int c = 0; c < kN; ++c) MINKE_UNROLL
    for (int g = 0; g < kGroups; ++g) sums[c][g] = start_of<Format>(columns, c, first + g);
    LaneWeights<Block>::for_each_16(rows, at, [&](int i, const VI(&w)[4]) {
      ahead.fetch<Block>(rows, block * (kLen / 16) + i);
      MINKE_UNROLL
      for (int c = 0; c < kN; ++c)
        add_16<Format>(sums[c][16 * i / Format::kGroup], w, columns.q[c] + block * kLen + 16 * i);
    });
    LaneScales<Block>::for_each_scale(rows, at, [&](int g, VF scale, VF min) {
      if constexpr (Format::kHasMin) mins[in_chunk * kGroups + g] = min;
      MINKE_UNROLL
      for (int c = 0; c < kN; ++c) {
        const VF scaled = madd(bits_as_float(sums[c][g]), scale, scale * splat(-kMagic));
        results[c] =
            madd(scaled, splat(columns.scale[c][(first + g) / Format::kGroups]), results[c]);
      }
    });
    const bool chunk_ends = in_chunk + 1 == kBlocksOfChunk || (block + 1) * kLen == n_cols;
    if (!Format::kHasMin || !chunk_ends) continue;
    const int group = first - in_chunk * kGroups;
    for (int g = 0; g < (in_chunk + 1) * kGroups; ++g) {
      MINKE_UNROLL
      for (int c = 0; c < kN; ++c)
        results[c] = madd(mins[g], splat(columns.sums[c].sum[group + g]), results[c]);
    }
  }
}

template <class Format, class Block, int kN>
int multiply_direct(const MatmulArgs& args, int offset) {
  int row = args.row_begin;
  if (row + kLanes > args.row_end) return row;
  const Columns<kN> columns = direct_columns<Format, kN>(args, offset);
  for (; row + kLanes <= args.row_end; row += kLanes) {
    const auto* w =
        static_cast<const uint8_t*>(args.w) + static_cast<size_t>(row) * args.w_row_bytes;
    // Where nothing comes next, what is in the cache already is asked for again.
    const uint8_t* next = w;
    if (row + kLanes < args.row_end) {
      next += kLanes * args.w_row_bytes;
    } else if (args.next_w != nullptr) {
      next = static_cast<const uint8_t*>(args.next_w);
    }
    Ahead ahead(next, args.w_row_bytes);
    VF results[kN];
    multiply_rows<Format, Block, kN>(RowPointers(w, args.w_row_bytes), args.n_cols, columns, ahead,
                                     results);
    for (int c = 0; c < kN; ++c) store(columns.y[c] + row, results[c]);
  }
  return row;
}

template <class Format, class Block, int kN = 1>
int try_direct(const MatmulArgs& args, const Unpacker& format) {
  if constexpr (kN <= kMostRows) {
    if (args.n_x != kN) return try_direct<Format, Block, kN + 1>(args, format);
    // Sums of all columns must fit in the scratch memory.
    constexpr int kMostColumns = static_cast<int>(kMatmulScratchBytes) / 4 * 16 / kN - 4096;
    if (args.n_cols <= kMostColumns) return multiply_direct<Format, Block, kN>(args, format.offset);
  }
  return args.row_begin;
}

}  // namespace

int matmul_direct(const MatmulArgs& args, const Unpacker& format) noexcept {
  static_assert(kHasFma);
  switch (format.dtype) {
    case DType::kQ4_0:
      return try_direct<FormatOf<32, false, Range::k4>, BlockQ4_0>(args, format);
    case DType::kQ5_0:
      return try_direct<FormatOf<32, false, Range::k5>, BlockQ5_0>(args, format);
    case DType::kQ4_1:
      return try_direct<FormatOf<32, true, Range::k4>, BlockQ4_1>(args, format);
    case DType::kQ5_1:
      return try_direct<FormatOf<32, true, Range::k5>, BlockQ5_1>(args, format);
    case DType::kQ8_0:
      return try_direct<FormatOf<32, false, Range::kFull>, BlockQ8_0>(args, format);
    case DType::kIQ4_NL:
      return try_direct<FormatOf<32, false, Range::kFull>, BlockIQ4_NL>(args, format);
    case DType::kIQ4_XS:
      return try_direct<FormatOf<32, false, Range::kFull>, BlockIQ4_XS>(args, format);
    case DType::kQ2_K:
      return try_direct<FormatOf<16, true, Range::k4>, BlockQ2_K>(args, format);
    case DType::kQ3_K:
      return try_direct<FormatOf<16, false, Range::k4>, BlockQ3_K>(args, format);
    case DType::kQ4_K:
      return try_direct<FormatOf<32, true, Range::k4>, BlockQ4_K>(args, format);
    case DType::kQ5_K:
      return try_direct<FormatOf<32, true, Range::k5>, BlockQ5_K>(args, format);
    case DType::kQ6_K:
      return try_direct<FormatOf<16, false, Range::k6>, BlockQ6_K>(args, format);
    default:
      return args.row_begin;
  }
}

}  // namespace minke::cpu::MINKE_ISA_NS

#else

namespace minke::cpu::MINKE_ISA_NS {

int matmul_direct(const MatmulArgs& args, const Unpacker&) noexcept { return args.row_begin; }

}  // namespace minke::cpu::MINKE_ISA_NS

#endif
