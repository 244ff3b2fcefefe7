#include "backends/cpu/kernels/matmul_direct.h"

#if defined(__AVX512BW__)
#include "backends/cpu/kernels/direct_avx512.h"
#include "backends/cpu/kernels/direct_scales_avx512.h"
#include "backends/cpu/kernels/tile.h"

namespace minke::cpu::MINKE_ISA_NS {
namespace {

/// Columns that are multiplied before their scales are needed.
template <class Block>
inline constexpr int kUnit = Block::kLen == 256 ? 256 : 64 * Direct<Block>::kVectors;

/// Activation rows of all columns.
template <int kN>
struct Columns {
  const int8_t* q[kN];
  const float* scale[kN];
  const int32_t* start[kN];  ///< See TileColumns.
  const float* sum[kN];
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
    // One of the two is used.
    auto* sums = static_cast<float*>(args.scratch) + c * room;
    columns.q[c] = xq.q + at;
    columns.scale[c] = xq.scale + at / kQuantBlock;
    columns.start[c] = reinterpret_cast<int32_t*>(sums);
    columns.sum[c] = sums;
    columns.y[c] = result(args, c, 0);
    prepare_sums<Format>(xq.sum + at / 16, columns.scale[c], offset, args.n_cols / kQuantBlock,
                         reinterpret_cast<int32_t*>(sums), sums);
  }
  return columns;
}

/// Fetches the rows that come next: evenly, since many lines at once fill the queues that the loads
/// need too.
class Ahead {
 public:
  explicit Ahead(const uint8_t* next) : next_(next) {}
  template <size_t kBytes>
  [[gnu::always_inline]] void fetch() {
    MINKE_UNROLL
    for (size_t i = 0; i < kBytes; i += 64) __builtin_prefetch(next_ + i, 0, 2);
    next_ += kBytes;
  }

 private:
  const uint8_t* next_;
};

/// sums[c][g] = integer sums of kLanes weight rows times activation row c, over the 16 columns g of
/// the unit that begins at column `col`.
template <class Format, class Block, int kN>
[[gnu::always_inline]] inline void sum_products(const RowPointers& rows, const Columns<kN>& columns,
                                                int col, Ahead& ahead,
                                                VI (&sums)[kN][kUnit<Block> / 16]) {
  using D = Direct<Block>;
  constexpr int kPiece = 64 * D::kVectors;
  constexpr size_t kStepBytes = 4 * kPiece * sizeof(Block) / Block::kLen;
  for (int piece = 0; piece < kUnit<Block> / kPiece; ++piece) {
    VI x[kN][D::kVectors];
    MINKE_UNROLL
    for (int c = 0; c < kN; ++c) MINKE_UNROLL
    for (int v = 0; v < D::kVectors; ++v)
      x[c][v] = activations<D>(columns.q[c] + col + piece * kPiece, v);
    VI quads[kN][D::kVectors][4];
    for (int quad = 0; quad < 4; ++quad) {
      ahead.fetch<kStepBytes>();
      VI products[kN][D::kVectors][4];
      MINKE_UNROLL
      for (int r = 0; r < 4; ++r) {
        VI w[D::kVectors];
        D::load(rows.template at<Block>(4 * quad + r), col / kPiece + piece, w);
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
    for (int c = 0; c < kN; ++c) MINKE_UNROLL
    for (int v = 0; v < D::kVectors; ++v) {
      VI reduced[4];
      transpose_lanes(quads[c][v], reduced);
      MINKE_UNROLL
      for (int i = 0; i < 4; ++i) sums[c][piece * kPiece / 16 + D::kOrder[v][i]] = reduced[i];
    }
  }
}

/// results[c] = kLanes weight rows times activation row c: the same sums in the same order as
/// multiply_tile, which adds the mins of kChunk columns after their products.
template <class Format, class Block, int kN>
[[gnu::always_inline]] inline void multiply_rows(const RowPointers& rows, int n_cols,
                                                 const Columns<kN>& columns, Ahead& ahead,
                                                 VF (&results)[kN]) {
  constexpr int kGroups = kUnit<Block> / Format::kGroup;  // In a unit.
  constexpr int kUnitsOfChunk = kChunk / kUnit<Block>;
  VF mins[kUnitsOfChunk * kGroups];
  MINKE_UNROLL
  for (int c = 0; c < kN; ++c) results[c] = splat(0.0f);
  for (int unit = 0; unit < n_cols / kUnit<Block>; ++unit) {
    const int group = unit * kGroups, in_chunk = unit % kUnitsOfChunk;
    VI sums[kN][kUnit<Block> / 16];
    sum_products<Format, Block, kN>(rows, columns, unit * kUnit<Block>, ahead, sums);
    constexpr int kBlocks = kUnit<Block> / static_cast<int>(Block::kLen);
    DirectScales<Block>::for_each_scale(
        rows, unit * kBlocks, kBlocks, [&](int g, VF scale, VF min) {
          if constexpr (Format::kHasMin) mins[in_chunk * kGroups + g] = min;
          const VF magic_scale = scale * splat(-kMagic);
          MINKE_UNROLL
          for (int c = 0; c < kN; ++c) {
            const VI sum =
                add_i32(group_sum<Format>(sums[c], g), start_of<Format>(columns, c, group + g));
            results[c] = madd(madd(bits_as_float(sum), scale, magic_scale),
                              splat(columns.scale[c][(group + g) / Format::kGroups]), results[c]);
          }
        });
    const bool chunk_ends = in_chunk + 1 == kUnitsOfChunk || (unit + 1) * kUnit<Block> == n_cols;
    if (!Format::kHasMin || !chunk_ends) continue;
    const int first = group - in_chunk * kGroups;
    for (int g = 0; g < (in_chunk + 1) * kGroups; ++g) {
      MINKE_UNROLL
      for (int c = 0; c < kN; ++c)
        results[c] = madd(mins[g], splat(columns.sum[c][first + g]), results[c]);
    }
  }
}

template <class Format, class Block, int kN>
void multiply_direct(const MatmulArgs& args, int offset) {
  const Columns<kN> columns = direct_columns<Format, kN>(args, offset);
  for (int row = args.row_begin; row < args.row_end; row += kLanes) {
    const int n_rows = args.row_end - row < kLanes ? args.row_end - row : kLanes;
    const auto* w =
        static_cast<const uint8_t*>(args.w) + static_cast<size_t>(row) * args.w_row_bytes;
    // Where no whole tile comes next, what is in the cache already is asked for again.
    const bool more = row + 2 * kLanes <= args.row_end;
    Ahead ahead(more ? w + kLanes * args.w_row_bytes : w);
    VF results[kN];
    multiply_rows<Format, Block, kN>(RowPointers(w, args.w_row_bytes, n_rows), args.n_cols, columns,
                                     ahead, results);
    const auto mask = static_cast<__mmask16>((1u << n_rows) - 1);
    for (int c = 0; c < kN; ++c) _mm512_mask_storeu_ps(columns.y[c] + row, mask, results[c]);
  }
}

template <class Format, class Block>
bool try_direct(const MatmulArgs& args, const Unpacker& format) {
  // Offsets of rows are 32 bits wide; sums of all columns must fit in the scratch memory.
  constexpr size_t kMaxRowBytes = size_t{1} << 27;
  constexpr int kMostColumns = static_cast<int>(kMatmulScratchBytes) / 4 * 16 / kFewColumns - 4096;
  if (args.n_cols % kUnit<Block> != 0 || args.n_cols > kMostColumns ||
      args.w_row_bytes >= kMaxRowBytes)
    return false;
  static_assert(kFewColumns == 3);
  if (args.n_x == 1) multiply_direct<Format, Block, 1>(args, format.offset);
  if (args.n_x == 2) multiply_direct<Format, Block, 2>(args, format.offset);
  if (args.n_x == 3) multiply_direct<Format, Block, 3>(args, format.offset);
  return true;
}

}  // namespace

bool matmul_direct(const MatmulArgs& args, const Unpacker& format) noexcept {
  static_assert(kHasFma);
  if (args.n_x > kFewColumns) return false;
  switch (format.dtype) {
    case DType::kQ4_0:
      return try_direct<FormatOf<32, false, Range::k4>, BlockQ4_0>(args, format);
    case DType::kQ5_0:
      return try_direct<FormatOf<32, false, Range::k5>, BlockQ5_0>(args, format);
    case DType::kQ8_0:
      return try_direct<FormatOf<32, false, Range::kFull>, BlockQ8_0>(args, format);
    case DType::kQ4_K:
      return try_direct<FormatOf<32, true, Range::k4>, BlockQ4_K>(args, format);
    case DType::kQ5_K:
      return try_direct<FormatOf<32, true, Range::k5>, BlockQ5_K>(args, format);
    case DType::kQ6_K:
      return try_direct<FormatOf<16, false, Range::k6>, BlockQ6_K>(args, format);
    default:
      return false;
  }
}

}  // namespace minke::cpu::MINKE_ISA_NS

#else

namespace minke::cpu::MINKE_ISA_NS {

bool matmul_direct(const MatmulArgs&, const Unpacker&) noexcept { return false; }

}  // namespace minke::cpu::MINKE_ISA_NS

#endif
