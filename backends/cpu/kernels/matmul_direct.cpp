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

/// 32 columns of the activation rows: all that belongs to them lies at constant distances from one
/// pointer, since there are not registers for one a row.
template <class Format, int kN>
struct Columns {
  int8_t q[2][kN][16];  ///< Of 16 columns.
  float scale[kN];
  /// Of a group: the activations' sum where there are mins, else what integer sums start at.
  std::conditional_t<Format::kHasMin, float, int32_t> sum[Format::kGroups][kN];
};

/// Copies the activation rows' columns to the scratch memory; null where they do not fit.
template <class Format, int kN>
const Columns<Format, kN>* pack_columns(const MatmulArgs& args, int offset) {
  const QuantizedRows& xq = *args.xq;
  const int n_blocks = args.n_cols / kQuantBlock;
  const auto n = static_cast<size_t>(n_blocks);
  const size_t room_values = (n * Format::kGroups + kLanes - 1) / kLanes * kLanes;
  if (n * sizeof(Columns<Format, kN>) + room_values * 4 > kMatmulScratchBytes) return nullptr;
  auto* columns = static_cast<Columns<Format, kN>*>(args.scratch);
  void* room = columns + n;
  for (int c = 0; c < kN; ++c) {
    const auto row = static_cast<size_t>(args.x_rows != nullptr ? args.x_rows[c] : c);
    const size_t at = row * static_cast<size_t>(args.n_cols);
    const GroupSums sums = group_sums<Format>(xq, at, offset, n_blocks, room);
    for (int b = 0; b < n_blocks; ++b) {
      for (int i = 0; i < 2; ++i)
        std::memcpy(columns[b].q[i][c], xq.q + at + kQuantBlock * b + 16 * i, 16);
      columns[b].scale[c] = xq.scale[at / kQuantBlock + static_cast<size_t>(b)];
      for (int g = 0; g < Format::kGroups; ++g) {
        const int group = b * Format::kGroups + g;
        if constexpr (Format::kHasMin) {
          columns[b].sum[g][c] = sums.sum[group];
        } else {
          columns[b].sum[g][c] = sums.start[group];
        }
      }
    }
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
                                                 const Columns<Format, kN>* columns, Ahead& ahead,
                                                 VF (&results)[kN]) {
  constexpr int kLen = static_cast<int>(Block::kLen);
  constexpr int kGroups = kLen / Format::kGroup;  // In a block.
  constexpr int kColumns = kLen / kQuantBlock;    // Of Columns.
  constexpr int kBlocksOfChunk = kChunk / kLen;
  // Groups of 32 are done one by one, or two at a time (LaneWeights says in which order): their
  // sums fit in registers.
  constexpr bool kInOrder = Format::kGroup == 32;
  constexpr int kSlots = kInOrder && kGroups > 2 ? 2 : kGroups;
  VF scales[kGroups], mins[kBlocksOfChunk * kGroups];
  MINKE_UNROLL
  for (int c = 0; c < kN; ++c) results[c] = splat(0.0f);
  for (int block = 0; block < n_cols / kLen; ++block) {
    const size_t at = static_cast<size_t>(block) * sizeof(Block);
    const int in_chunk = block % kBlocksOfChunk;
    LaneScales<Block>::for_each_scale(rows, at, [&](int g, VF scale, VF min) {
      scales[g] = scale;
      if constexpr (Format::kHasMin) mins[in_chunk * kGroups + g] = min;
    });
    VI sums[kSlots][kN];
    const auto add_group = [&](int g) {
      const VF scale = scales[g], start = scale * splat(-kMagic);
      MINKE_UNROLL
      for (int c = 0; c < kN; ++c) {
        const VF scaled = madd(bits_as_float(sums[g % kSlots][c]), scale, start);
        results[c] = madd(scaled, splat(columns[g / Format::kGroups].scale[c]), results[c]);
      }
    };
    LaneWeights<Block>::for_each_16(rows, at, [&](int i, const auto& weight) {
      ahead.fetch<Block>(rows, block * (kLen / 16) + i);
      const int g = 16 * i / Format::kGroup;
      VI(&sum)[kN] = sums[g % kSlots];
      if (16 * i % Format::kGroup == 0) {
        MINKE_UNROLL
        for (int c = 0; c < kN; ++c) {
          if constexpr (Format::kHasMin) {
            sum[c] = splat_i32(kMagicBits);
          } else {
            sum[c] = splat_i32(columns[g / Format::kGroups].sum[g % Format::kGroups][c]);
          }
        }
      }
      add_16<Format>(sum, weight, columns[i / 2].q[i % 2]);
      if (kInOrder && 16 * (i + 1) % Format::kGroup == 0) add_group(g);
    });
    if constexpr (!kInOrder) {
      MINKE_UNROLL
      for (int g = 0; g < kGroups; ++g) add_group(g);
    }
    if constexpr (Format::kHasMin) {
      if (in_chunk + 1 == kBlocksOfChunk || (block + 1) * kLen == n_cols) {
        const Columns<Format, kN>* chunk = columns - in_chunk * kColumns;
        for (int g = 0; g < (in_chunk + 1) * kGroups; ++g) {
          const float(&sum)[kN] = chunk[g / Format::kGroups].sum[g % Format::kGroups];
          MINKE_UNROLL
          for (int c = 0; c < kN; ++c) results[c] = madd(mins[g], splat(sum[c]), results[c]);
        }
      }
    }
    columns += kColumns;
  }
}

template <class Format, class Block, int kN>
int multiply_direct(const MatmulArgs& args, int offset) {
  int row = args.row_begin;
  if (row + kLanes > args.row_end) return row;
  const Columns<Format, kN>* columns = pack_columns<Format, kN>(args, offset);
  if (columns == nullptr) return row;
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
    for (int c = 0; c < kN; ++c) store(result(args, c, row), results[c]);
  }
  return row;
}

template <class Format, class Block, int kN = 1>
int try_direct(const MatmulArgs& args, const Unpacker& format) {
  if constexpr (kN <= kMostRows) {
    if (args.n_x != kN) return try_direct<Format, Block, kN + 1>(args, format);
    return multiply_direct<Format, Block, kN>(args, format.offset);
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
