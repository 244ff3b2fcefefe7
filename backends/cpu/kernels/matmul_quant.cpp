#include "backends/cpu/kernels/matmul_quant.h"

#include <type_traits>

#include "backends/cpu/kernels/panel.h"
#include "backends/cpu/kernels/tile.h"
#if defined(__AVX512BW__)
#include "backends/cpu/kernels/direct_avx512.h"
#endif

namespace minke::cpu::MINKE_ISA_NS {
namespace {

// Up to this many activation rows it is cheaper to add up each weight row's vector than to
// transpose the weights.
constexpr int kFewColumns = kMaxColumns < 3 ? kMaxColumns : 3;

/// Multiplies up to kLanes weight rows without unpacking them to memory: see direct_avx512.h.
using DirectFn = void (*)(const uint8_t* w, size_t row_bytes, int n_rows, ptrdiff_t next,
                          int n_blocks, int n, int v, bool from_zero, Panel& panel);
constexpr int kDirectBlocks = 4;  ///< It takes multiples of this many 32-blocks...
constexpr size_t kDirectRowBytes = size_t{1} << 27;  ///< ...and offsets of rows in 32 bits.

/// The part of a weight matrix that one panel takes.
struct Source {
  const Unpacker& format;
  DirectFn direct;      ///< Null if there is none for the format.
  const uint8_t* rows;  ///< First block of the first row.
  size_t row_bytes;
  int n_rows;      ///< 1..kRows
  int n_blocks;    ///< 32-blocks, 1..kChunkBlocks
  ptrdiff_t next;  ///< From here to what will be unpacked next.
};

// What the inner loops are compiled for. Where products are added in 32 bits at once, the range
// of the weights makes no difference.
template <int kGroup, bool kHasMin, Range kRange>
using FormatOf =
    TileFormat<kGroup, kHasMin,
               std::conditional_t<Dot<kRange>::kFlush == 0, Dot<Range::kFull>, Dot<kRange>>>;

DirectFn find_direct([[maybe_unused]] DType dtype) {
#if defined(__AVX512BW__)
  static_assert(kFewColumns <= 3);
  switch (dtype) {
    case DType::kQ4_0:
      return multiply_direct<FormatOf<32, false, Range::k4>, BlockQ4_0>;
    case DType::kQ5_0:
      return multiply_direct<FormatOf<32, false, Range::k5>, BlockQ5_0>;
    case DType::kQ8_0:
      return multiply_direct<FormatOf<32, false, Range::kFull>, BlockQ8_0>;
    case DType::kQ4_K:
      return multiply_direct<FormatOf<32, true, Range::k4>, BlockQ4_K>;
    case DType::kQ5_K:
      return multiply_direct<FormatOf<32, true, Range::k5>, BlockQ5_K>;
    case DType::kQ6_K:
      return multiply_direct<FormatOf<16, false, Range::k6>, BlockQ6_K>;
    default:
      break;
  }
#endif
  return nullptr;
}

inline void prefetch(const uint8_t* p, size_t n_bytes) {
  for (size_t i = 0; i < n_bytes; i += 64) __builtin_prefetch(p + i, 0, 2);
}

int rows_from(const Source& source, int first) {
  return source.n_rows - first < kLanes ? source.n_rows - first : kLanes;
}

const uint8_t* row_at(const Source& source, int row) {
  return source.rows + static_cast<size_t>(row) * source.row_bytes;
}

/// Unpacks rows [first, first + kLanes) of the source into panel.bytes, row_scale, row_min. Rows
/// beyond the last keep what is there; their results are dropped.
void unpack_rows(const Source& source, int first, Panel& panel) {
  const int n_blocks = source.n_blocks * kQuantBlock / source.format.block_len;
  const size_t n_bytes = static_cast<size_t>(n_blocks) * source.format.block_bytes;
  for (int r = 0; r < rows_from(source, first); ++r) {
    const uint8_t* row = row_at(source, first + r);
    prefetch(row + source.next, n_bytes);
    source.format.unpack(row, n_blocks, panel.bytes[r], panel.row_scale[r], panel.row_min[r]);
  }
}

/// Moves the scales and mins of the unpacked rows to vector v of the panel.
void transpose_scales(const Source& source, int v, Panel& panel) {
  const int n_groups = source.n_blocks * kQuantBlock / source.format.group;
  constexpr size_t kStride = sizeof(panel.row_scale[0]);
  const auto as_bytes = [](auto& array) { return reinterpret_cast<uint8_t*>(&array); };
  for (int g = 0; g < n_groups; g += kLanes) {
    transpose(as_bytes(panel.row_scale[0][g]), kStride, as_bytes(panel.scale[g][v * kLanes]),
              sizeof(panel.scale[0]));
    if (source.format.has_min)
      transpose(as_bytes(panel.row_min[0][g]), kStride, as_bytes(panel.min[g][v * kLanes]),
                sizeof(panel.min[0]));
  }
  if (!kHasFma) return;
  for (int g = 0; g < n_groups; ++g) {
    const VF scale = load(&panel.scale[g][v * kLanes]);
    store(&panel.magic_scale[g][v * kLanes], scale * splat(-kMagic));
  }
}

void fill_panel(const Source& source, Panel& panel) {
  for (int v = 0; v < kVectors && v * kLanes < source.n_rows; ++v) {
    unpack_rows(source, v * kLanes, panel);
    transpose_scales(source, v, panel);
    for (int k = 0; k < source.n_blocks * kQuantBlock / 4; k += kLanes)
      transpose(&panel.bytes[0][4 * k], sizeof(panel.bytes[0]), &panel.dwords[k][v * kLanes][0],
                sizeof(panel.dwords[0]));
  }
}

/// Fills start (formats with an offset) or sum (formats with mins) of one activation row. Works in
/// whole vectors: what lies beyond the row is read but not used.
template <class Format>
void prepare_sums(const int16_t* sums, const float* scale, int offset, int n_blocks, int32_t* start,
                  float* sum) {
  const int n_groups = n_blocks * Format::kGroups;
  const auto factor = static_cast<int16_t>(Format::kHasMin ? 1 : -offset);
  for (int g = 0; g < n_groups; g += kLanes) {
    const VI sums_of_group = Format::kGroups == 1 ? scaled_pair_sums(sums + 2 * g, factor)
                                                  : scaled_sums(sums + g, factor);
    if constexpr (!Format::kHasMin) {
      store_bytes(start + g, add_i32(sums_of_group, splat_i32(kMagicBits)));
    } else if constexpr (Format::kGroups == 1) {
      store(sum + g, to_float(sums_of_group) * load(scale + g));
    } else {
      store(sum + g, to_float(sums_of_group));
      for (int i = g; i < g + kLanes && i < n_groups; ++i) sum[i] *= scale[i / 2];
    }
  }
}

/// Points panel.columns at activation rows [first, first + n), from 32-block first_block on.
template <class Format>
void take_columns(const MatmulArgs& args, int offset, int first, int n, int first_block,
                  int n_blocks, TileColumns& columns) {
  const QuantizedRows& xq = *args.xq;
  const auto n_cols = static_cast<size_t>(xq.n_cols);
  const auto col = static_cast<size_t>(first_block) * kQuantBlock;
  for (int c = 0; c < n; ++c) {
    const int i = first + c;
    const auto row = static_cast<size_t>(args.x_rows != nullptr ? args.x_rows[i] : i);
    columns.q[c] = xq.q + row * n_cols + col;
    columns.scale[c] = xq.scale + (row * n_cols + col) / kQuantBlock;
    prepare_sums<Format>(xq.sum + (row * n_cols + col) / 16, columns.scale[c], offset, n_blocks,
                         columns.start[c], columns.sum[c]);
  }
}

/// Where the results of activation row i go, for weight rows from `row` on.
float* result(const MatmulArgs& args, int i, int row) {
  const auto y_row = static_cast<size_t>(args.y_rows != nullptr ? args.y_rows[i] : i);
  return args.y + y_row * args.y_stride + row;
}

/// Rows of vector v of the panel times the first n of panel.columns, at most kFewColumns.
template <class Format>
void multiply_vector(const Source& source, int n, int v, bool from_zero, Panel& panel) {
  const int first = v * kLanes;
  if (source.direct != nullptr && source.n_blocks % kDirectBlocks == 0 &&
      source.row_bytes < kDirectRowBytes) {
    source.direct(row_at(source, first), source.row_bytes, rows_from(source, first), source.next,
                  source.n_blocks, n, v, from_zero, panel);
    return;
  }
  unpack_rows(source, first, panel);
  transpose_scales(source, v, panel);
  multiply_few<Format>(panel, source.n_blocks, n, v, from_zero);
}

template <class Format>
void multiply(const MatmulArgs& args, const Source& source, int row, int first_block,
              Panel& panel) {
  const bool few = args.n_x <= kFewColumns;
  if (!few) fill_panel(source, panel);
  const int n_tiles = (args.n_x + kMaxColumns - 1) / kMaxColumns;
  for (int tile = 0; tile < n_tiles; ++tile) {
    // Tiles of nearly the same size: of 5 rows, 3 and 2.
    const int begin = tile * args.n_x / n_tiles, n = (tile + 1) * args.n_x / n_tiles - begin;
    take_columns<Format>(args, source.format.offset, begin, n, first_block, source.n_blocks,
                         panel.columns);
    const bool whole = source.n_rows == kRows;
    for (int c = 0; c < n; ++c) {
      float* y = result(args, begin + c, row);
      panel.columns.y[c] = whole ? y : panel.rest[c];
      if (!whole && first_block > 0)
        std::memcpy(panel.rest[c], y, static_cast<size_t>(source.n_rows) * sizeof(float));
    }
    if (!few) multiply_tile<Format>(panel, source.n_blocks, n, first_block == 0);
    // Few activation rows are all one tile, so each weight row is read once.
    for (int v = 0; few && v < kVectors && v * kLanes < source.n_rows; ++v)
      multiply_vector<Format>(source, n, v, first_block == 0, panel);
    for (int c = 0; c < n && !whole; ++c)
      std::memcpy(result(args, begin + c, row), panel.rest[c],
                  static_cast<size_t>(source.n_rows) * sizeof(float));
  }
}

template <class Format>
void multiply_all(const MatmulArgs& args, const Unpacker& format) {
  const DirectFn direct = find_direct(format.dtype);
  Panel& panel = *static_cast<Panel*>(args.scratch);
  const int n_blocks = args.n_cols / kQuantBlock;
  const int block_len = format.block_len / kQuantBlock;
  const auto bytes_to = [&](int block) {
    return static_cast<size_t>(block / block_len) * format.block_bytes;
  };
  // Later chunks are fetched while the ones before them are unpacked; the first has none before it.
  const size_t first_bytes = bytes_to(n_blocks < kChunkBlocks ? n_blocks : kChunkBlocks);
  for (int row = args.row_begin; row < args.row_end && row < args.row_begin + kRows; ++row)
    prefetch(static_cast<const uint8_t*>(args.w) + static_cast<size_t>(row) * args.w_row_bytes,
             first_bytes);
  for (int row = args.row_begin; row < args.row_end; row += kRows) {
    const int n_rows = args.row_end - row < kRows ? args.row_end - row : kRows;
    const auto* rows =
        static_cast<const uint8_t*>(args.w) + static_cast<size_t>(row) * args.w_row_bytes;
    for (int block = 0; block < n_blocks; block += kChunkBlocks) {
      const int n = n_blocks - block < kChunkBlocks ? n_blocks - block : kChunkBlocks;
      ptrdiff_t next = 0;
      if (block + n < n_blocks) {
        next = static_cast<ptrdiff_t>(bytes_to(n));
      } else if (row + kRows < args.row_end) {
        next = static_cast<ptrdiff_t>(kRows * args.w_row_bytes) -
               static_cast<ptrdiff_t>(bytes_to(block));
      }
      const Source source{format, direct, rows + bytes_to(block), args.w_row_bytes, n_rows,
                          n,      next};
      multiply<Format>(args, source, row, block, panel);
    }
  }
}

}  // namespace

void matmul_quant(const MatmulArgs& args, const Unpacker& format) noexcept {
  const auto is = [&](int group, bool has_min, Range range) {
    return format.group == group && format.has_min == has_min && format.range == range;
  };
  if (is(32, false, Range::k4)) return multiply_all<FormatOf<32, false, Range::k4>>(args, format);
  if (is(32, true, Range::k4)) return multiply_all<FormatOf<32, true, Range::k4>>(args, format);
  if (is(32, false, Range::k5)) return multiply_all<FormatOf<32, false, Range::k5>>(args, format);
  if (is(32, true, Range::k5)) return multiply_all<FormatOf<32, true, Range::k5>>(args, format);
  if (is(32, false, Range::kFull))
    return multiply_all<FormatOf<32, false, Range::kFull>>(args, format);
  if (is(16, false, Range::k4)) return multiply_all<FormatOf<16, false, Range::k4>>(args, format);
  if (is(16, true, Range::k4)) return multiply_all<FormatOf<16, true, Range::k4>>(args, format);
  if (is(16, false, Range::k6)) return multiply_all<FormatOf<16, false, Range::k6>>(args, format);
  __builtin_trap();  // A format of a new kind needs a line here; the tests run every format.
}

}  // namespace minke::cpu::MINKE_ISA_NS
