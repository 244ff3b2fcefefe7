// The inner loops of the integer matrix product.
#pragma once

#include <type_traits>

#include "backends/cpu/kernels/panel.h"
#include "backends/cpu/simd/unroll.h"

namespace minke::cpu::MINKE_ISA_NS {
namespace {

/// Up to this many activation rows it is cheaper to add up each weight row's vector than to
/// transpose the weights.
inline constexpr int kFewColumns = kMaxColumns < 3 ? kMaxColumns : 3;

/// Kind of format: weights that share a scale (32 or 16), whether they have mins, the products.
template <int kGroupLen, bool kMin, class DotType>
struct TileFormat {
  static constexpr int kGroup = kGroupLen;
  static constexpr int kGroups = kQuantBlock / kGroup;  ///< In a 32-block.
  static constexpr bool kHasMin = kMin;
  using DotProduct = DotType;
};

/// What the inner loops are compiled for. Where products are added in 32 bits at once, the range
/// of the weights makes no difference.
template <int kGroup, bool kHasMin, Range kRange>
using FormatOf =
    TileFormat<kGroup, kHasMin,
               std::conditional_t<Dot<kRange>::kFlush == 0, Dot<Range::kFull>, Dot<kRange>>>;

/// What the integer sums of a group start at.
template <class Format>
[[gnu::always_inline]] inline VI start_of(const TileColumns& columns, int c, int group) {
  return splat_i32(Format::kHasMin ? kMagicBits : columns.sums[c].start[group]);
}

/// Of the n_blocks 32-blocks from value `at` of xq on. What xq does not hold goes to `room`, which
/// has whole vectors of groups.
template <class Format>
inline GroupSums group_sums(const QuantizedRows& xq, size_t at, int offset, int n_blocks,
                            void* room) {
  if constexpr (Format::kHasMin && Format::kGroups == 1) {
    return {nullptr, xq.scaled_sum + at / kQuantBlock};
  } else {
    // What lies beyond the row is read but not used.
    const int16_t* sums = xq.sum + at / 16;
    const float* scale = xq.scale + at / kQuantBlock;
    const auto factor = static_cast<int16_t>(Format::kHasMin ? 1 : -offset);
    const int n_groups = n_blocks * Format::kGroups;
    for (int g = 0; g < n_groups; g += kLanes) {
      const VI sums_of_group = Format::kGroups == 1 ? scaled_pair_sums(sums + 2 * g, factor)
                                                    : scaled_sums(sums + g, factor);
      if constexpr (Format::kHasMin) {
        auto* sum = static_cast<float*>(room);
        store(sum + g, to_float(sums_of_group));
        for (int i = g; i < g + kLanes && i < n_groups; ++i) sum[i] *= scale[i / 2];
      } else {
        store_bytes(static_cast<int32_t*>(room) + g, add_i32(sums_of_group, splat_i32(kMagicBits)));
      }
    }
    return {static_cast<const int32_t*>(room), static_cast<const float*>(room)};
  }
}

/// Where the results of activation row i go, for weight rows from `row` on.
inline float* result(const MatmulArgs& args, int i, int row) {
  const auto y_row = static_cast<size_t>(args.y_rows != nullptr ? args.y_rows[i] : i);
  return args.y + y_row * args.y_stride + row;
}

/// sums[v][c] += products of the group that starts at dword k of the panel, and at byte 4k of the
/// activation rows.
template <class Format, int kN>
[[gnu::always_inline]] inline void add_products(const Panel& panel, const int8_t* const (&x)[kN],
                                                int k, VI (&sums)[kVectors][kN]) {
  using D = typename Format::DotProduct;
  constexpr int kSteps = Format::kGroup / 4;
  constexpr int kFlush = D::kFlush == 0 || D::kFlush > kSteps ? kSteps : D::kFlush;
  MINKE_UNROLL
  for (int begin = 0; begin < kSteps; begin += kFlush) {
    [[maybe_unused]] VI part[kVectors][kN];
    MINKE_UNROLL
    for (int step = begin; step < begin + kFlush; ++step) {
      VI w[kVectors];
      MINKE_UNROLL
      for (int v = 0; v < kVectors; ++v) w[v] = load_bytes(panel.dwords[k + step][v * kLanes]);
      MINKE_UNROLL
      for (int c = 0; c < kN; ++c) {
        const VI xc = splat4(x[c] + 4 * (k + step));
        MINKE_UNROLL
        for (int v = 0; v < kVectors; ++v) {
          if constexpr (D::kFlush == 0) {
            sums[v][c] = D::step(sums[v][c], w[v], xc);
          } else if (step == begin) {
            part[v][c] = D::first(w[v], xc);
          } else {
            part[v][c] = D::step(part[v][c], w[v], xc);
          }
        }
      }
    }
    if constexpr (D::kFlush != 0) {
      MINKE_UNROLL
      for (int v = 0; v < kVectors; ++v) MINKE_UNROLL
      for (int c = 0; c < kN; ++c) sums[v][c] = D::flush(sums[v][c], part[v][c]);
    }
  }
}

/// result + the weights' scales * the activations' scale * sum.
[[gnu::always_inline]] inline VF add_group(VF result, VI sum, const Panel& panel, int group,
                                           int lane, float x_scale) {
  const VF scale = load(&panel.scale[group][lane]);
  VF scaled;
  if constexpr (kHasFma) {
    scaled = madd(bits_as_float(sum), scale, load(&panel.magic_scale[group][lane]));
  } else {
    scaled = to_float(sum) * scale;
  }
  return madd(scaled, splat(x_scale), result);
}

/// results + the weights' mins * the activations' sums, of all groups. Apart from the loop over
/// the products, which needs all registers; a chunk's mins are added after its products.
template <int kV, int kN>
[[gnu::always_inline]] inline void add_mins(const Panel& panel, int lane, int n_groups,
                                            const GroupSums* sums, VF (&results)[kV][kN]) {
  for (int group = 0; group < n_groups; ++group) {
    MINKE_UNROLL
    for (int v = 0; v < kV; ++v) {
      const VF min = load(&panel.min[group][lane + v * kLanes]);
      MINKE_UNROLL
      for (int c = 0; c < kN; ++c)
        results[v][c] = madd(min, splat(sums[c].sum[group]), results[v][c]);
    }
  }
}

/// Panel times kN activation rows; starts from zero or adds to what y holds.
template <class Format, int kN>
void multiply_columns(const Panel& panel, int n_blocks, bool from_zero, NextPanel& next) {
  const TileColumns& columns = panel.columns;
  const int8_t* x[kN];
  VF results[kVectors][kN];
  MINKE_UNROLL
  for (int c = 0; c < kN; ++c) {
    x[c] = columns.q[c];
    MINKE_UNROLL
    for (int v = 0; v < kVectors; ++v)
      results[v][c] = from_zero ? splat(0.0f) : load(columns.y[c] + v * kLanes);
  }
  for (int block = 0; block < n_blocks; ++block) {
    next.fetch();
    MINKE_UNROLL
    for (int half = 0; half < Format::kGroups; ++half) {
      const int group = block * Format::kGroups + half;
      VI sums[kVectors][kN];
      MINKE_UNROLL
      for (int c = 0; c < kN; ++c) MINKE_UNROLL
      for (int v = 0; v < kVectors; ++v) sums[v][c] = start_of<Format>(columns, c, group);
      add_products<Format, kN>(panel, x, group * Format::kGroup / 4, sums);
      MINKE_UNROLL
      for (int v = 0; v < kVectors; ++v) MINKE_UNROLL
      for (int c = 0; c < kN; ++c)
        results[v][c] =
            add_group(results[v][c], sums[v][c], panel, group, v * kLanes, columns.scale[c][block]);
    }
  }
  if constexpr (Format::kHasMin)
    add_mins(panel, 0, n_blocks * Format::kGroups, columns.sums, results);
  MINKE_UNROLL
  for (int c = 0; c < kN; ++c) MINKE_UNROLL
  for (int v = 0; v < kVectors; ++v) store(columns.y[c] + v * kLanes, results[v][c]);
}

/// Panel times the first n (1..kMaxColumns) of panel.columns.
template <class Format>
void multiply_tile(const Panel& panel, int n_blocks, int n, bool from_zero, NextPanel& next) {
  static_assert(kMaxColumns <= 6);
  if (n == 1) return multiply_columns<Format, 1>(panel, n_blocks, from_zero, next);
  if (n == 2) return multiply_columns<Format, 2>(panel, n_blocks, from_zero, next);
  if constexpr (kMaxColumns > 2) {
    if (n == 3) return multiply_columns<Format, 3>(panel, n_blocks, from_zero, next);
    if (n == 4) return multiply_columns<Format, 4>(panel, n_blocks, from_zero, next);
  }
  if constexpr (kMaxColumns > 4) {
    if (n == 5) return multiply_columns<Format, 5>(panel, n_blocks, from_zero, next);
    if (n == 6) return multiply_columns<Format, 6>(panel, n_blocks, from_zero, next);
  }
}

/// Four products of bytes in every lane.
template <class Format>
[[gnu::always_inline]] inline VI products_of(VI w, VI x) {
  using D = typename Format::DotProduct;
  if constexpr (D::kFlush == 0) {
    return D::step(splat_i32(0), w, x);
  } else {
    return D::flush(splat_i32(0), D::first(w, x));
  }
}

/// sums[c] += 16 columns: weight(j) times the activations x[c][4 * j] and on.
template <class Format, int kN, class Weight>
[[gnu::always_inline]] inline void add_16(VI (&sums)[kN], const Weight& weight,
                                          const int8_t (&x)[kN][16]) {
  using D = typename Format::DotProduct;
  if constexpr (requires { &D::step_splat; }) {
    MINKE_UNROLL
    for (int j = 0; j < 4; ++j) {
      const VI w = weight(j);
      MINKE_UNROLL
      for (int c = 0; c < kN; ++c) sums[c] = D::step_splat(sums[c], w, x[c] + 4 * j);
    }
  } else {
    const VI w[4] = {weight(0), weight(1), weight(2), weight(3)};
    MINKE_UNROLL
    for (int c = 0; c < kN; ++c) {
      if constexpr (D::kFlush == 0) {
        MINKE_UNROLL
        for (int j = 0; j < 4; ++j) sums[c] = D::step(sums[c], w[j], splat4(x[c] + 4 * j));
      } else {
        constexpr int kFlush = D::kFlush < 4 ? D::kFlush : 4;
        MINKE_UNROLL
        for (int begin = 0; begin < 4; begin += kFlush) {
          VI part = D::first(w[begin], splat4(x[c] + 4 * begin));
          MINKE_UNROLL
          for (int j = begin + 1; j < begin + kFlush; ++j)
            part = D::step(part, w[j], splat4(x[c] + 4 * j));
          sums[c] = D::flush(sums[c], part);
        }
      }
    }
  }
}

/// The integer sum of a group, from sums of 16 columns.
template <class Format>
[[gnu::always_inline]] inline VI group_sum(const VI* sums, int group) {
  return Format::kGroups == 2 ? sums[group] : add_i32(sums[2 * group], sums[2 * group + 1]);
}

}  // namespace
}  // namespace minke::cpu::MINKE_ISA_NS
