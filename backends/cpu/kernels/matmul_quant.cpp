#include "backends/cpu/kernels/matmul_quant.h"

#include "backends/cpu/kernels/matmul_direct.h"
#include "backends/cpu/kernels/panel.h"
#include "backends/cpu/kernels/tile.h"

namespace minke::cpu::MINKE_ISA_NS {
namespace {

/// The part of a weight matrix that one panel takes.
struct Source {
  const Unpacker& format;
  const uint8_t* rows;  ///< First block of the first row.
  size_t row_bytes;
  int n_rows;      ///< 1..kRows
  int n_blocks;    ///< 32-blocks, 1..kChunkBlocks
  size_t n_bytes;  ///< Of a row's blocks.
  ptrdiff_t next;  ///< From here to what will be unpacked next.
};

inline void prefetch(const uint8_t* p, size_t n_bytes) {
  for (size_t i = 0; i < n_bytes; i += 64) __builtin_prefetch(p + i, 0, 2);
}

/// Unpacks rows [first, first + kLanes) of the source into panel.bytes, row_scale, row_min. Rows
/// beyond the last keep what is there; their results are dropped.
void unpack_rows(const Source& source, int first, Panel& panel) {
  const int n_blocks = source.n_blocks * kQuantBlock / source.format.block_len;
  const int n = source.n_rows - first < kLanes ? source.n_rows - first : kLanes;
  for (int r = 0; r < n; ++r) {
    const uint8_t* row = source.rows + static_cast<size_t>(first + r) * source.row_bytes;
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

/// Fills vector v of the panel.
void unpack_lanes(const Source& source, int v, Panel& panel) {
  const int first = v * kLanes, n_blocks = source.n_blocks * kQuantBlock / source.format.block_len;
  const uint8_t* rows = source.rows + static_cast<size_t>(first) * source.row_bytes;
  source.format.unpack_lanes(
      rows, source.row_bytes, n_blocks,
      {&panel.dwords[0][first], &panel.scale[0][first], &panel.magic_scale[0][first],
       source.format.has_min ? &panel.min[0][first] : nullptr, kRows});
}

void fill_panel(const Source& source, Panel& panel) {
  for (int v = 0; v < kVectors && v * kLanes < source.n_rows; ++v) {
    if (source.format.unpack_lanes != nullptr && (v + 1) * kLanes <= source.n_rows) {
      unpack_lanes(source, v, panel);
    } else {
      unpack_rows(source, v * kLanes, panel);
      transpose_scales(source, v, panel);
      for (int k = 0; k < source.n_blocks * kQuantBlock / 4; k += kLanes)
        transpose(&panel.bytes[0][4 * k], sizeof(panel.bytes[0]), &panel.dwords[k][v * kLanes][0],
                  sizeof(panel.dwords[0]));
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
    columns.sums[c] = group_sums<Format>(xq, row * n_cols + col, offset, n_blocks, columns.room[c]);
  }
}

/// The unpacked rows panel.bytes, which are vector v of the panel's rows, times the first n of
/// panel.columns. The same sums in the same order as multiply_tile.
template <class Format>
void multiply_few(const Panel& panel, int n_blocks, int n, int v, bool from_zero) {
  constexpr int kPiece = 4 * kLanes;  // Columns of one vector of a row.
  const TileColumns& columns = panel.columns;
  for (int c = 0; c < n; ++c) {
    VI sums[kChunkGroups];  // Of 16 columns.
    for (int k = 0; k < n_blocks * kQuantBlock; k += kPiece) {
      // The last piece may reach 32 columns beyond the row: into what lies behind it in the
      // quantized rows' memory, or the next row. Those sums are not used.
      const VI x = load_bytes(columns.q[c] + k);
      VI rows[kLanes];
      MINKE_UNROLL
      for (int r = 0; r < kLanes; ++r)
        rows[r] = products_of<Format>(load_bytes(&panel.bytes[r][k]), x);
      VI reduced[kLanes / 4];
      sum_rows(rows, reduced);
      MINKE_UNROLL
      for (int g = 0; g < kLanes / 4; ++g) sums[k / 16 + g] = reduced[g];
    }
    float* y = columns.y[c] + v * kLanes;
    VF result[1][1] = {{from_zero ? splat(0.0f) : load(y)}};
    for (int group = 0; group < n_blocks * Format::kGroups; ++group) {
      const VI sum = add_i32(group_sum<Format>(sums, group), start_of<Format>(columns, c, group));
      result[0][0] = add_group(result[0][0], sum, panel, group, v * kLanes,
                               columns.scale[c][group / Format::kGroups]);
    }
    if constexpr (Format::kHasMin)
      add_mins(panel, v * kLanes, n_blocks * Format::kGroups, &columns.sums[c], result);
    store(y, result[0][0]);
  }
}

template <class Format>
void multiply(const MatmulArgs& args, const Source& source, int row, int first_block,
              Panel& panel) {
  const bool few = args.n_x <= kFewColumns;
  if (!few) fill_panel(source, panel);
  const int n_tiles = (args.n_x + kMaxColumns - 1) / kMaxColumns;
  NextPanel next(source.rows + source.next, source.row_bytes, source.n_rows, source.n_bytes,
                 few ? kVectors : n_tiles * source.n_blocks);
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
    if (!few) multiply_tile<Format>(panel, source.n_blocks, n, first_block == 0, next);
    for (int v = 0; few && v < kVectors && v * kLanes < source.n_rows; ++v) {
      // All activation rows are one tile here, so this unpacks each row once.
      next.fetch();
      unpack_rows(source, v * kLanes, panel);
      transpose_scales(source, v, panel);
      multiply_few<Format>(panel, source.n_blocks, n, v, first_block == 0);
    }
    for (int c = 0; c < n && !whole; ++c)
      std::memcpy(result(args, begin + c, row), panel.rest[c],
                  static_cast<size_t>(source.n_rows) * sizeof(float));
  }
}

template <class Format>
void multiply_all(const MatmulArgs& args, const Unpacker& format) {
  Panel& panel = *static_cast<Panel*>(args.scratch);
  const int n_blocks = args.n_cols / kQuantBlock;
  const int block_len = format.block_len / kQuantBlock;
  const auto bytes_to = [&](int block) {
    return static_cast<size_t>(block / block_len) * format.block_bytes;
  };
  // Later chunks are fetched while the ones before them are multiplied; the first has none before
  // it.
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
      } else if (args.next_w != nullptr) {
        next = static_cast<const uint8_t*>(args.next_w) - (rows + bytes_to(block));
      }
      const Source source{format, rows + bytes_to(block), args.w_row_bytes, n_rows, n, bytes_to(n),
                          next};
      multiply<Format>(args, source, row, block, panel);
    }
  }
}

}  // namespace

void matmul_quant(const MatmulArgs& args, const Unpacker& format) noexcept {
  const int row = matmul_direct(args, format);
  if (row == args.row_end) return;
  MatmulArgs rest = args;
  rest.row_begin = row;
  const auto is = [&](int group, bool has_min, Range range) {
    return format.group == group && format.has_min == has_min && format.range == range;
  };
  if (is(32, false, Range::k4)) return multiply_all<FormatOf<32, false, Range::k4>>(rest, format);
  if (is(32, true, Range::k4)) return multiply_all<FormatOf<32, true, Range::k4>>(rest, format);
  if (is(32, false, Range::k5)) return multiply_all<FormatOf<32, false, Range::k5>>(rest, format);
  if (is(32, true, Range::k5)) return multiply_all<FormatOf<32, true, Range::k5>>(rest, format);
  if (is(32, false, Range::kFull))
    return multiply_all<FormatOf<32, false, Range::kFull>>(rest, format);
  if (is(16, false, Range::k4)) return multiply_all<FormatOf<16, false, Range::k4>>(rest, format);
  if (is(16, true, Range::k4)) return multiply_all<FormatOf<16, true, Range::k4>>(rest, format);
  if (is(16, false, Range::k6)) return multiply_all<FormatOf<16, false, Range::k6>>(rest, format);
  if (is(16, false, Range::kFull))
    return multiply_all<FormatOf<16, false, Range::kFull>>(rest, format);
  __builtin_trap();  // A format of a new kind needs a line here; the tests run every format.
}

}  // namespace minke::cpu::MINKE_ISA_NS
