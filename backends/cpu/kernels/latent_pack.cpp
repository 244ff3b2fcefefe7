#include "backends/cpu/kernels/latent_pack.h"

#include <cstring>

#include "backends/cpu/simd/latent_i8.h"
#include "backends/cpu/simd/rows_f32.h"
#include "backends/cpu/simd/unroll.h"
#include "runtime/cache_row.h"

namespace minke::cpu::MINKE_ISA_NS {
namespace {

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
  if (largest < kTinyMagnitude) return {0.0f, 0.0f};
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

// Readers of a cached row: its scales, and its columns from `at` on as a vector of integers, bytes
// in the order that pack_bytes() gives, words in that of the columns.

template <class Row>
class FloatReader {
 public:
  FloatReader() = default;
  FloatReader(const std::byte* row, const LatentDims& d)
      : latent_(reinterpret_cast<const Element*>(row)),
        rotated_(latent_ + d.rank),
        bytes_scale_(find_scale<Row>(latent_, d.rank, kInt8Levels)),
        words_scale_(find_scale<Row>(rotated_, d.rope, kInt16Levels)) {}
  static constexpr ptrdiff_t row_bytes(const LatentDims& d) {
    return (d.rank + d.rope) * static_cast<ptrdiff_t>(sizeof(Element));
  }
  float scale() const { return bytes_scale_.scale; }
  float rotated_scale() const { return words_scale_.scale; }
  VI bytes(int at, int rank) const {
    return load_as_bytes<Row>(latent_, at, rank, splat(bytes_scale_.inverse));
  }
  VI words(int at, int rope) const {
    return words_in_order(load_as_words<Row>(rotated_, at, rope, splat(words_scale_.inverse)));
  }

 private:
  using Element = typename Row::Element;
  const Element *latent_, *rotated_;
  Scale bytes_scale_, words_scale_;
};

/// n bytes, and zeros behind them if they are less than a vector.
inline VI load_first_bytes(const int8_t* p, int n) {
  if (n >= kVectorBytes) return load_bytes(p);
  int8_t bytes[kVectorBytes] = {};
  std::memcpy(bytes, p, static_cast<size_t>(n));
  return load_bytes(bytes);
}

class IntegerReader {
 public:
  IntegerReader() = default;
  IntegerReader(const std::byte* row, const LatentDims& d)
      : latent_(latent_of(row)), rotated_(rotated_of(row, d)) {}
  static const int8_t* latent_of(const std::byte* row) {
    return reinterpret_cast<const int8_t*>(row + sizeof(float));
  }
  static const int8_t* rotated_of(const std::byte* row, const LatentDims& d) {
    return latent_of(row) + d.rank + sizeof(float);
  }
  static constexpr ptrdiff_t row_bytes(const LatentDims& d) {
    return 2 * static_cast<ptrdiff_t>(sizeof(float)) + d.rank + 2 * d.rope;
  }
  float scale() const { return scale_before(latent_); }
  float rotated_scale() const { return scale_before(rotated_); }
  VI bytes(int at, int rank) const {
    return order_bytes(load_first_bytes(latent_ + at, rank - at));
  }
  VI words(int at, int rope) const { return load_first_bytes(rotated_ + 2 * at, 2 * (rope - at)); }

 private:
  static float scale_before(const int8_t* p) {
    float scale;
    std::memcpy(&scale, p - sizeof(scale), sizeof(scale));
    return scale;
  }
  const int8_t *latent_, *rotated_;
};

/// Four rows from row `first` on, of which n are there; the others become zeros.
template <class Reader, bool kCopy>
void pack_four(const std::byte* x, int first, int n, const LatentKeys& keys) {
  const LatentDims& d = keys.dims;
  const VI zeros = splat_i32(0);
  Reader rows[4];
  VI sums[4];
  for (int r = 0; r < 4; ++r) {
    rows[r] = Reader(x + (r < n ? r * Reader::row_bytes(d) : 0), d);
    keys.scale[first + r] = r < n ? rows[r].scale() : 0.0f;
    keys.rotated_scale[first + r] = r < n ? rows[r].rotated_scale() : 0.0f;
    sums[r] = zeros;
  }
  uint8_t* values = keys.values + first * kLanes;
  for (int at = 0; at < d.rank; at += kVectorBytes) {
    VI v[4], interleaved[4];
    MINKE_UNROLL
    for (int r = 0; r < 4; ++r) {
      v[r] = r < n ? rows[r].bytes(at, d.rank) : zeros;
      if constexpr (kCopy)
        store_bytes(keys.copies + (first + r) * keys.row_bytes + at, bytes_in_order(v[r]));
      sums[r] = add_for_start(sums[r], v[r]);
      v[r] = biased(v[r]);
    }
    interleave(v, interleaved);
    MINKE_UNROLL
    for (int i = 0; i < 4; ++i) {
      store_bytes(values, interleaved[i]);
      values += kLatentKeys * kLanes;
    }
  }
  for (int r = 0; r < 4; ++r) keys.start[first + r] = start_of(sums[r]);
  if constexpr (kCopy) {
    int8_t* words =
        keys.copies + first * keys.row_bytes + whole_vectors(d.rank, kVectorBytes) * kVectorBytes;
    for (int r = 0; r < 4; ++r, words += keys.row_bytes)
      for (int at = 0; at < d.rope; at += 2 * kLanes)
        store_bytes(words + 2 * at, r < n ? rows[r].words(at, d.rope) : zeros);
  }
}

template <class Reader, bool kCopy>
void pack_keys(const std::byte* rows, int n_keys, const LatentKeys& keys) {
  // Queries meet keys by sixteens; those beyond the last are zeros.
  const int end = (n_keys + kLatentGroup - 1) / kLatentGroup * kLatentGroup;
  for (int key = 0; key < end; key += 4)
    pack_four<Reader, kCopy>(rows + (key < n_keys ? key : 0) * Reader::row_bytes(keys.dims), key,
                             n_keys - key, keys);
}

template <class Reader>
void copy_keys(const void* rows, int n_keys, LatentKeys& keys) {
  const LatentDims& d = keys.dims;
  const int rank = whole_vectors(d.rank, kVectorBytes) * kVectorBytes;
  keys.row_bytes = rank + whole_vectors(d.rope, 2 * kLanes) * kVectorBytes;
  keys.bytes = keys.copies;
  keys.rotated = keys.copies + rank;
  pack_keys<Reader, true>(static_cast<const std::byte*>(rows), n_keys, keys);
}

/// Rows that hold integers are keys as they are, as long as whole vectors can be read.
void pack_integers(const void* rows, int n_keys, LatentKeys& keys) {
  const LatentDims& d = keys.dims;
  if (n_keys % kLatentGroup != 0 || d.rank % kVectorBytes != 0 || d.rope % (2 * kLanes) != 0)
    return copy_keys<IntegerReader>(rows, n_keys, keys);
  const auto* first = static_cast<const std::byte*>(rows);
  keys.row_bytes = IntegerReader::row_bytes(d);
  keys.bytes = IntegerReader::latent_of(first);
  keys.rotated = IntegerReader::rotated_of(first, d);
  pack_keys<IntegerReader, false>(first, n_keys, keys);
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
      bytes = find_scale<RowF32>(row, d.rank, kInt8Levels);
      words = find_scale<RowF32>(row + d.rank, d.rope, kInt16Levels);
    }
    queries.scale[group * kLanes + r] = bytes.scale * scale;
    queries.rotated_scale[group * kLanes + r] = words.scale * scale;
    factor[r] = splat(bytes.inverse);
    rotated_factor[r] = splat(words.inverse);
  }
  const int vectors = whole_vectors(d.rank, kVectorBytes);
  const int rotated = whole_vectors(d.rope, 2 * kLanes);
  uint8_t* to = queries.bytes + static_cast<ptrdiff_t>(group) * vectors * kLanes * kVectorBytes;
  auto* words_to = reinterpret_cast<uint8_t*>(queries.rotated) +
                   static_cast<ptrdiff_t>(group) * rotated * kLanes * kVectorBytes;
  alignas(64) uint8_t rows[kLanes][kVectorBytes];
  for (int v = 0; v < vectors; ++v, to += kLanes * kVectorBytes) {
    for (int r = 0; r < kLanes; ++r) {
      const VI bytes = load_as_bytes<RowF32>(q + static_cast<size_t>(r < n ? r : 0) * q_stride,
                                             v * kVectorBytes, d.rank, factor[r]);
      store_bytes(rows[r], biased(bytes_in_order(bytes)));
    }
    transpose(rows[0], kVectorBytes, to, kVectorBytes);
  }
  for (int v = 0; v < rotated; ++v, words_to += kLanes * kVectorBytes) {
    for (int r = 0; r < kLanes; ++r) {
      const float* row = q + static_cast<size_t>(r < n ? r : 0) * q_stride + d.rank;
      const VI words = load_as_words<RowF32>(row, v * 2 * kLanes, d.rope, rotated_factor[r]);
      store_bytes(rows[r], words_in_order(words));
    }
    transpose(rows[0], kVectorBytes, words_to, kVectorBytes);
  }
}

}  // namespace

void pack_latent_keys(LatentRows type, const void* rows, int n_keys, LatentKeys& keys) noexcept {
  switch (type) {
    case LatentRows::kF32:
      return copy_keys<FloatReader<RowF32>>(rows, n_keys, keys);
    case LatentRows::kF16:
      return copy_keys<FloatReader<RowF16>>(rows, n_keys, keys);
    case LatentRows::kBF16:
      return copy_keys<FloatReader<RowBF16>>(rows, n_keys, keys);
    case LatentRows::kIntegers:
      return pack_integers(rows, n_keys, keys);
  }
}

void pack_latent_queries(const float* q, size_t q_stride, int n_rows, float scale,
                         const LatentQueries& queries) noexcept {
  for (int first = 0, group = 0; first < n_rows; first += kLanes, ++group) {
    const int n = n_rows - first < kLanes ? n_rows - first : kLanes;
    pack_group(q + static_cast<size_t>(first) * q_stride, q_stride, n, scale, queries, group);
  }
}

}  // namespace minke::cpu::MINKE_ISA_NS
