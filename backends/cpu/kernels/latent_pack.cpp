#include "backends/cpu/kernels/latent_pack.h"

#include "backends/cpu/simd/latent_i8.h"
#include "backends/cpu/simd/rows_f32.h"
#include "backends/cpu/simd/unroll.h"

namespace minke::cpu::MINKE_ISA_NS {
namespace {

/// Rows whose largest magnitude is below this become zeros: levels divided by it must be finite.
constexpr float kTiny = 2e-35f;
constexpr float kByteLevels = 127;
/// 128 products of two such numbers still fit in 32 bits.
constexpr float kWordLevels = 4095;

/// Values are integer * scale; `inverse` is 1 / scale. scale is not-a-number if a value is not
/// finite; both are 0 if all values are.
struct Scale {
  float scale, inverse;
};

/// The largest of n values without their sign, in bits: in their order as integers, numbers stand
/// before infinity and not-a-number. The compiler makes vectors of it.
template <class Bits, class Element>
Bits largest_magnitude(const Element* x, int n) {
  constexpr auto kNoSign = static_cast<Bits>(static_cast<Bits>(~Bits{0}) >> 1);
  Bits largest = 0;
  for (int i = 0; i < n; ++i) {
    const auto bits = static_cast<Bits>(__builtin_bit_cast(Bits, x[i]) & kNoSign);
    largest = bits > largest ? bits : largest;
  }
  return largest;
}

inline float magnitude(RowF16, const uint16_t* x, int n) {
  return half_to_float(largest_magnitude<uint16_t>(x, n));
}
inline float magnitude(RowBF16, const uint16_t* x, int n) {
  return bf16_to_f32(largest_magnitude<uint16_t>(x, n));
}
inline float magnitude(RowF32, const float* x, int n) {
  return __builtin_bit_cast(float, largest_magnitude<uint32_t>(x, n));
}

template <class Row>
Scale find_scale(const typename Row::Element* x, int n, float levels) {
  const float largest = magnitude(Row{}, x, n);
  const float spoiled = largest * 0.0f;  // not-a-number if a value is not finite
  if (largest < kTiny) return {0.0f, 0.0f};
  return {largest / levels + spoiled, levels / largest};
}

/// kN vectors of a row of n values from column `at` on, times `factor`; zeros beyond the row.
template <class Row, int kN>
[[gnu::always_inline]] inline void load_scaled(const typename Row::Element* x, int at, int n,
                                               VF factor, VF (&out)[kN]) {
  MINKE_UNROLL
  for (int i = 0; i < kN; ++i) {
    const int left = n - at - i * kFloats;
    out[i] = left >= kFloats ? Row::load(x + at + i * kFloats) * factor
             : left > 0      ? load_first<Row>(x + at + i * kFloats, left) * factor
                             : splat(0.0f);
  }
}

template <class Row>
[[gnu::always_inline]] inline VI load_as_bytes(const typename Row::Element* x, int at, int n,
                                               VF factor) {
  VF v[4];
  load_scaled<Row, 4>(x, at, n, factor, v);
  return pack_bytes(v[0], v[1], v[2], v[3]);
}

template <class Row>
[[gnu::always_inline]] inline VI load_as_words(const typename Row::Element* x, int at, int n,
                                               VF factor) {
  VF v[2];
  load_scaled<Row, 2>(x, at, n, factor, v);
  return pack_words(v[0], v[1]);
}

inline int whole_vectors(int n, int per_vector) { return (n + per_vector - 1) / per_vector; }

/// Four rows from row `first` on, of which n are there; the others become zeros.
template <class Row>
void pack_four(const typename Row::Element* x, int first, int n, const LatentKeys& keys) {
  const LatentDims& d = keys.dims;
  const typename Row::Element* rows[4];
  VF factor[4], rotated_factor[4];
  for (int r = 0; r < 4; ++r) {
    // Rows that are not there: any values, times zero.
    rows[r] = x + (r < n ? static_cast<ptrdiff_t>(r) * (d.rank + d.rope) : 0);
    Scale scale{}, rotated{};
    if (r < n) {
      scale = find_scale<Row>(rows[r], d.rank, kByteLevels);
      rotated = find_scale<Row>(rows[r] + d.rank, d.rope, kWordLevels);
    }
    keys.scale[first + r] = scale.scale;
    keys.rotated_scale[first + r] = rotated.scale;
    factor[r] = splat(scale.inverse);
    rotated_factor[r] = splat(rotated.inverse);
  }
  // Where these keys are in their group of sixteen.
  const int group = first / kLatentGroup, in_group = first % kLatentGroup;
  uint8_t* bytes = keys.bytes +
                   group * kLatentGroup * whole_vectors(d.rank, kVectorBytes) * kVectorBytes +
                   in_group * kVectorBytes;
  uint8_t* values = keys.values + first * kLanes;
  for (int at = 0; at < d.rank; at += kVectorBytes) {
    VI v[4], interleaved[4];
    MINKE_UNROLL
    for (int r = 0; r < 4; ++r) {
      v[r] = biased(load_as_bytes<Row>(rows[r], at, d.rank, factor[r]));
      store_bytes(bytes + r * kVectorBytes, v[r]);
    }
    interleave(v, interleaved);
    MINKE_UNROLL
    for (int i = 0; i < 4; ++i) {
      store_bytes(values, interleaved[i]);
      values += kLatentKeys * kLanes;
    }
    bytes += kLatentGroup * kVectorBytes;
  }
  for (int r = 0; r < 4; ++r) {
    int16_t* words = keys.rotated +
                     group * kLatentGroup * whole_vectors(d.rope, 2 * kLanes) * 2 * kLanes +
                     (in_group + r) * 2 * kLanes;
    for (int at = 0; at < d.rope; at += 2 * kLanes, words += kLatentGroup * 2 * kLanes)
      store_bytes(words, load_as_words<Row>(rows[r] + d.rank, at, d.rope, rotated_factor[r]));
  }
}

template <class Row>
void pack_keys(const void* rows, int n_keys, const LatentKeys& keys) {
  const auto* x = static_cast<const typename Row::Element*>(rows);
  // Queries meet keys by sixteens; those beyond the last are zeros.
  const int end = (n_keys + kLatentGroup - 1) / kLatentGroup * kLatentGroup;
  for (int key = 0; key < end; key += 4)
    pack_four<Row>(
        x + static_cast<ptrdiff_t>(key < n_keys ? key : 0) * (keys.dims.rank + keys.dims.rope), key,
        n_keys - key, keys);
}

/// A group of query rows, of which n are there.
void pack_group(const float* q, size_t q_stride, int n, float scale, const LatentQueries& queries,
                int group) {
  const LatentDims& d = queries.dims;
  VF factor[kLanes], rotated_factor[kLanes];
  for (int r = 0; r < kLanes; ++r) {
    const float* row = q + static_cast<size_t>(r) * q_stride;
    Scale bytes{}, words{};
    if (r < n) {
      bytes = find_scale<RowF32>(row, d.rank, kByteLevels);
      words = find_scale<RowF32>(row + d.rank, d.rope, kWordLevels);
    }
    queries.scale[group * kLanes + r] = bytes.scale * scale;
    queries.rotated_scale[group * kLanes + r] = words.scale * scale;
    factor[r] = splat(bytes.inverse);
    rotated_factor[r] = splat(words.inverse);
  }
  const int vectors = whole_vectors(d.rank, kVectorBytes);
  const int rotated = whole_vectors(d.rope, 2 * kLanes);
  auto* to = reinterpret_cast<uint8_t*>(queries.bytes) +
             static_cast<ptrdiff_t>(group) * vectors * kLanes * kVectorBytes;
  auto* words_to = reinterpret_cast<uint8_t*>(queries.rotated) +
                   static_cast<ptrdiff_t>(group) * rotated * kLanes * kVectorBytes;
  alignas(64) uint8_t rows[kLanes][kVectorBytes];
  // Keys' bytes are too large by kFullBias: sums start at that bias times the query, negative.
  VI bias = splat_i32(0);
  for (int v = 0; v < vectors; ++v, to += kLanes * kVectorBytes) {
    for (int r = 0; r < kLanes; ++r)
      store_bytes(rows[r], load_as_bytes<RowF32>(q + static_cast<size_t>(r < n ? r : 0) * q_stride,
                                                 v * kVectorBytes, d.rank, factor[r]));
    transpose(rows[0], kVectorBytes, to, kVectorBytes);
    for (int i = 0; i < kLanes; ++i)
      bias = dot_key(bias, biased(splat_i32(0)), load_bytes(to + i * kVectorBytes));
  }
  for (int v = 0; v < rotated; ++v, words_to += kLanes * kVectorBytes) {
    for (int r = 0; r < kLanes; ++r)
      store_bytes(rows[r],
                  load_as_words<RowF32>(q + static_cast<size_t>(r < n ? r : 0) * q_stride + d.rank,
                                        v * 2 * kLanes, d.rope, rotated_factor[r]));
    transpose(rows[0], kVectorBytes, words_to, kVectorBytes);
  }
  int32_t* start = queries.start + group * kLanes;
  store_bytes(start, bias);
  for (int r = 0; r < kLanes; ++r) start[r] = -start[r];
}

}  // namespace

void pack_latent_keys(DType dtype, const void* rows, int n_keys, const LatentKeys& keys) noexcept {
  if (dtype == DType::kF16) return pack_keys<RowF16>(rows, n_keys, keys);
  if (dtype == DType::kBF16) return pack_keys<RowBF16>(rows, n_keys, keys);
  pack_keys<RowF32>(rows, n_keys, keys);
}

void pack_latent_queries(const float* q, size_t q_stride, int n_rows, float scale,
                         const LatentQueries& queries) noexcept {
  for (int first = 0, group = 0; first < n_rows; first += kLanes, ++group) {
    const int n = n_rows - first < kLanes ? n_rows - first : kLanes;
    pack_group(q + static_cast<size_t>(first) * q_stride, q_stride, n, scale, queries, group);
  }
}

}  // namespace minke::cpu::MINKE_ISA_NS
