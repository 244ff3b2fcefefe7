#include "backends/cpu/kernels/latent_attend.h"

#include <cstring>
#include <limits>

#include "backends/cpu/simd/exp_f32.h"
#include "backends/cpu/simd/latent_i8.h"
#include "backends/cpu/simd/unroll.h"
#if defined(__AMX_INT8__)
#include "backends/cpu/simd/amx.h"
#endif

namespace minke::cpu::MINKE_ISA_NS {
namespace {

// Keys whose sums with a group of queries fill the registers; rows of weights times vectors of
// values do so too.
#if defined(__AVX512BW__)
constexpr int kKeyBlock = 16, kWeightRows = 8, kValueVectors = 2;
#elif defined(__aarch64__)
constexpr int kKeyBlock = 16, kWeightRows = 4, kValueVectors = 4;
#else
constexpr int kKeyBlock = 8, kWeightRows = 4, kValueVectors = 2;
#endif
static_assert(kLatentGroup % kKeyBlock == 0 && kKeyBlock % 4 == 0 && kWeightRows <= kLanes);
constexpr int kSteps = 4;  ///< In a turn of an inner loop: between turns GCC moves registers.
static_assert(kLanes % kSteps == 0);
constexpr int kQuads = kLatentKeys / 4;
constexpr float kWeightLevels = 127;
/// A tile whose weights are all below this counts as nothing.
constexpr float kTiny = 1e-35f;

/// e^x for x <= 0, relative error below 3e-6; 0 below -87.3.
inline VF exp_weight(VF x) {
  const auto [n, r] = split_exponent(xsimd::max(x, splat(-87.3f)));
  VF p = splat(1.0f / 120);
  p = madd(p, r, splat(1.0f / 24));
  p = madd(p, r, splat(1.0f / 6));
  p = madd(p, r, splat(0.5f));
  p = madd(p, r, splat(1.0f));
  p = madd(p, r, splat(1.0f));
  const Ints power = (n + Ints(127)) << 23;
  return xsimd::select(x < splat(-87.3f), splat(0.0f), p * __builtin_bit_cast(VF, power));
}

/// Columns of a row with the zeros that fill its last vector: of the bytes, of the rotated part.
inline int padded_rank(const LatentDims& d) {
  return (d.rank + kVectorBytes - 1) / kVectorBytes * kVectorBytes;
}
inline int padded_rope(const LatentDims& d) {
  return (d.rope + 2 * kLanes - 1) / (2 * kLanes) * (2 * kLanes);
}

/// One group of query rows at work on a tile.
struct Group {
  const uint8_t* bytes;
  const int16_t* rotated;
  VF scale, rotated_scale;
  VF visible;  ///< Keys that each row sees.
  bool sees_all;
  alignas(64) float scores[kLatentKeys][kLanes];  ///< then weights
  alignas(64) int32_t weights[kQuads][kLanes];    ///< four 7-bit weights each
  alignas(64) int32_t weights_start[kLanes];      ///< what sums with values start at
  alignas(64) float keep[kLanes], weight_step[kLanes];
#if defined(__AMX_INT8__)
  static_assert(kLatentGroup == kTileSize && kLatentKeys == kTilesAtOnce * kTileSize);
  alignas(64) TileSums products;
#endif
};

/// Keeps the compiler from making more values of this one, for which there are no registers.
template <class T>
[[gnu::always_inline]] inline void in_register(T& value) {
  asm("" : "+r"(value));
}

/// Asks for what is read next, some lines at each step, so that products hide the wait.
class Ahead {
 public:
  Ahead(const LatentAhead& ahead, int n_steps)
      : at_(ahead.rows),
        left_(ahead.bytes),
        stride_(ahead.bytes / static_cast<size_t>(n_steps) + 1) {}
  [[gnu::always_inline]] void step() {
    const size_t n = left_ < stride_ ? left_ : stride_;
    for (size_t i = 0; i < n; i += 64) __builtin_prefetch(at_ + i, 0, 2);
    at_ += n;
    left_ -= n;
  }

 private:
  const std::byte* at_;
  size_t left_, stride_;
};

/// Adds the products of so many dwords of kKeyBlock keys, `one` bytes apart, with those of all rows
/// of a group.
template <class Product>
[[gnu::always_inline]] inline void add_products(const int8_t* keys, ptrdiff_t one,
                                                const void* queries, int dwords, Product product,
                                                Ahead& ahead, VI (&sums)[kKeyBlock]) {
  const auto* query = static_cast<const uint8_t*>(queries);
  // As in RowPointers, few registers hold all addresses.
  const int8_t* every_fourth[kKeyBlock / 4];
  for (int i = 0; i < kKeyBlock / 4; ++i) every_fourth[i] = keys + 4 * i * one;
  ptrdiff_t three = 3 * one;
  for (int dword = 0; dword < dwords; dword += kSteps) {
    ahead.step();
    MINKE_UNROLL
    for (int i = 0; i < kKeyBlock / 4; ++i) in_register(every_fourth[i]);
    in_register(one);
    in_register(three);
    MINKE_UNROLL
    for (int step = 0; step < kSteps; ++step) {
      const VI q = load_bytes(query + step * kVectorBytes);
      MINKE_UNROLL
      for (int j = 0; j < kKeyBlock; ++j) {
        const int8_t* first = every_fourth[j / 4] + 4 * step;
        sums[j] = product(sums[j], q, j % 4 == 3 ? first + three : first + j % 4 * one);
      }
    }
    MINKE_UNROLL
    for (int i = 0; i < kKeyBlock / 4; ++i) every_fourth[i] += 4 * kSteps;
    query += kSteps * kVectorBytes;
  }
}

/// sums[j], lane r: bytes of key `key` + j times those of row r of the group.
[[gnu::always_inline]] inline void multiply_bytes(const Group& group, const LatentKeys& keys,
                                                  int key, Ahead& ahead, VI (&sums)[kKeyBlock]) {
  const int columns = padded_rank(keys.dims);
  MINKE_UNROLL
  for (int j = 0; j < kKeyBlock; ++j) sums[j] = splat_i32(keys.start[key + j]);
#if defined(__AMX_INT8__)
  for (int i = 0; i < columns / 4; i += kSteps) ahead.step();
  MINKE_UNROLL
  for (int j = 0; j < kKeyBlock; ++j)
    sums[j] =
        add_i32(load_bytes(group.products[key / kLatentGroup][key % kLatentGroup + j]), sums[j]);
#else
  add_products(
      keys.bytes + key * keys.row_bytes, keys.row_bytes, group.bytes, columns / 4,
      [](VI sum, VI q, const int8_t* k) { return dot_key(sum, q, k); }, ahead, sums);
#endif
}

/// Fills scores; gives the largest of each row. poison becomes not-a-number where a score is not
/// finite.
VF score(Group& group, const LatentKeys& keys, int n_keys, Ahead& ahead, VF& poison) {
  const int words = padded_rope(keys.dims);
  VF largest = splat(kLatentNoScore);
#if defined(__AMX_INT8__)
  const int columns = padded_rank(keys.dims);
  multiply_lefts(keys.bytes, keys.row_bytes, n_keys / kLatentGroup, group.bytes,
                 columns / kVectorBytes, group.products);
#endif
  for (int key = 0; key < n_keys; key += kKeyBlock) {
    VI sums[kKeyBlock], rotated[kKeyBlock];
    multiply_bytes(group, keys, key, ahead, sums);
    MINKE_UNROLL
    for (int j = 0; j < kKeyBlock; ++j) rotated[j] = splat_i32(0);
    add_products(
        keys.rotated + key * keys.row_bytes, keys.row_bytes, group.rotated, words / 2,
        [](VI sum, VI q, const int8_t* k) { return dot_words(sum, q, k); }, ahead, rotated);
    MINKE_UNROLL
    for (int j = 0; j < kKeyBlock; ++j) {
      const VF rest =
          to_float(rotated[j]) * group.rotated_scale * splat(keys.rotated_scale[key + j]);
      VF s = madd(to_float(sums[j]) * group.scale, splat(keys.scale[key + j]), rest);
      poison = madd(s, splat(0.0f), poison);
      if (!group.sees_all)
        s = xsimd::select(group.visible > splat(static_cast<float>(key + j)), s,
                          splat(-std::numeric_limits<float>::infinity()));
      largest = xsimd::max(largest, s);
      store(group.scores[key + j], s);
    }
  }
  return largest;
}

/// Scores to weights exp(score - m), times their keys' scales; adds the weights to l, gives the
/// largest product of each row.
VF weigh(Group& group, const LatentKeys& keys, int n_keys, VF m, VF& l) {
  VF largest = splat(0.0f);
  for (int key = 0; key < n_keys; ++key) {
    const VF weight = exp_weight(load(group.scores[key]) - m);
    l = l + weight;
    const VF scaled = weight * splat(keys.scale[key]);
    largest = xsimd::max(largest, scaled);
    store(group.scores[key], scaled);
  }
  return largest;
}

/// Weights to 7 bits, in units of largest / 127. A key takes over what rounding left of the one
/// four keys before, so that the sums of all weights stay.
void round_weights(Group& group, int n_keys, VF largest) {
  const auto counts = largest > splat(kTiny);
  const VF inverse = xsimd::select(counts, splat(kWeightLevels) / largest, splat(0.0f));
  const VF step = xsimd::select(counts, largest / splat(kWeightLevels), splat(0.0f));
  store(group.weight_step, step);
  const VF magic = splat(0x1.8p23f);  // adding it rounds to an integer, in the float's low bits
  VF left[4];
  Ints total(0);
  for (VF& v : left) v = splat(0.0f);
  for (int quad = 0; quad < n_keys / 4; ++quad) {
    Ints packed(0);
    MINKE_UNROLL
    for (int i = 0; i < 4; ++i) {
      const VF x = madd(load(group.scores[4 * quad + i]), inverse, left[i]);
      const VF rounded = xsimd::min(x + magic, splat(0x1.8p23f + kWeightLevels));
      // At most half a step, so that a weight of zero stays one.
      left[i] = xsimd::min(x - (rounded - magic), splat(0.5f));
      const Ints weight = __builtin_bit_cast(Ints, rounded) & Ints(0x7f);
      total = total + weight;
      packed = packed | (weight << (8 * i));
    }
    packed.store_unaligned(group.weights[quad]);
  }
  total.store_unaligned(group.weights_start);
  for (int r = 0; r < kLanes; ++r) group.weights_start[r] *= -kFullBias;
}

/// to * keep + sums * step, for the first n columns of a vector; n may be more than there are
/// lanes, or none.
[[gnu::always_inline]] inline void add_sums(VI sums, VF step, VF keep, int n, float* to) {
  const VF added = to_float(sums);
  if (n >= kLanes) {
    store(to, madd(added, step, load(to) * keep));
  } else if (n > 0) {
    store_some(to, madd(added, step, load_some(to, n) * keep), n);
  }
}

#if defined(__AMX_INT8__)

/// o * keep + weights * values.
void add_values(Group& group, const LatentKeys& keys, int n_keys, int n_rows, float* o) {
  static_assert(kQuads == kTileSize && kLanes == kTileSize);
  alignas(64) int8_t weights[kTileSize][kLatentKeys];
  // Values behind the last keys are whatever was there; times zero they are nothing.
  std::memset(&group.weights[0][0] + n_keys / 4 * kLanes, 0,
              sizeof(group.weights[0]) * static_cast<size_t>(kQuads - n_keys / 4));
  transpose(reinterpret_cast<const uint8_t*>(group.weights), kVectorBytes,
            reinterpret_cast<uint8_t*>(weights), kLatentKeys);
  written_for_tiles();
  const int rank = keys.dims.rank;
  for (int first = 0; first < rank; first += kTilesAtOnce * kLanes) {
    multiply_rights(weights[0], keys.values + first * kLatentKeys, group.products);
    for (int r = 0; r < n_rows; ++r) {
      const VI start = splat_i32(group.weights_start[r]);
      const VF keep = splat(group.keep[r]), step = splat(group.weight_step[r]);
      float* to = o + static_cast<ptrdiff_t>(r) * rank + first;
      MINKE_UNROLL
      for (int v = 0; v < kTilesAtOnce; ++v, to += kLanes) {
        const VI sums = add_i32(load_bytes(group.products[v][r]), start);
        add_sums(sums, step, keep, rank - first - v * kLanes, to);
      }
    }
  }
}

#else

/// Rows row .. row + kR - 1 of o, kV vectors of columns from vector `first` on.
template <int kR, int kV>
[[gnu::always_inline]] inline void add_columns(const Group& group, const LatentKeys& keys,
                                               int n_quads, int row, int first, float* o) {
  VI sums[kR][kV];
  MINKE_UNROLL
  for (int r = 0; r < kR; ++r) {
    MINKE_UNROLL
    for (int v = 0; v < kV; ++v) sums[r][v] = splat_i32(group.weights_start[row + r]);
  }
  const uint8_t* values = keys.values + static_cast<ptrdiff_t>(first) * kLatentKeys * kLanes;
  const auto* weights = reinterpret_cast<const int8_t*>(&group.weights[0][row]);
  for (int quad = 0; quad < n_quads; quad += kSteps) {
    MINKE_UNROLL
    for (int step = 0; step < kSteps; ++step) {
      VI value[kV];
      MINKE_UNROLL
      for (int v = 0; v < kV; ++v) value[v] = load_bytes(values + v * kLatentKeys * kLanes);
      MINKE_UNROLL
      for (int r = 0; r < kR; ++r) {
        const VI weight = splat4(weights + 4 * r);
        MINKE_UNROLL
        for (int v = 0; v < kV; ++v) sums[r][v] = dot_weight(sums[r][v], value[v], weight);
      }
      values += kVectorBytes;
      weights += kVectorBytes;
    }
  }
  const int rank = keys.dims.rank;
  MINKE_UNROLL
  for (int r = 0; r < kR; ++r) {
    const VF keep = splat(group.keep[row + r]), step = splat(group.weight_step[row + r]);
    MINKE_UNROLL
    for (int v = 0; v < kV; ++v) {
      const int column = (first + v) * kLanes;
      add_sums(sums[r][v], step, keep, rank - column,
               o + static_cast<ptrdiff_t>(r) * rank + column);
    }
  }
}

template <int kR>
void add_rows(const Group& group, const LatentKeys& keys, int n_quads, int row, float* o) {
  const int vectors = (keys.dims.rank + kLanes - 1) / kLanes;
  for (int v = 0; v < vectors; v += kValueVectors)
    add_columns<kR, kValueVectors>(group, keys, n_quads, row, v, o);
}

void add_values(const Group& group, const LatentKeys& keys, int n_keys, int n_rows, float* o) {
  const ptrdiff_t rank = keys.dims.rank;
  int row = 0;
  for (; row + kWeightRows <= n_rows; row += kWeightRows)
    add_rows<kWeightRows>(group, keys, n_keys / 4, row, o + row * rank);
  for (; row < n_rows; ++row) add_rows<1>(group, keys, n_keys / 4, row, o + row * rank);
}

#endif

VF load_rows(const float* p, int n) { return n == kLanes ? load(p) : load_some(p, n); }
void store_rows(float* p, VF v, int n) { n == kLanes ? store(p, v) : store_some(p, v, n); }

void attend_group(Group& group, const LatentKeys& keys, int n_keys, Ahead& ahead,
                  const LatentState& state, int first, int n_rows) {
  VF poison = splat(0.0f);
  const VF before = load_rows(state.m + first, n_rows);
  const VF m = xsimd::max(before, score(group, keys, n_keys, ahead, poison));
  const VF keep = exp_weight(before - m);
  store(group.keep, keep);
  VF l = splat(0.0f);
  const VF largest = weigh(group, keys, n_keys, m, l);
  round_weights(group, n_keys, largest);
  store_rows(state.m + first, m, n_rows);
  store_rows(state.l + first, madd(load_rows(state.l + first, n_rows), keep, l) + poison, n_rows);
  add_values(group, keys, n_keys, n_rows, state.o + static_cast<ptrdiff_t>(first) * keys.dims.rank);
}

}  // namespace

void attend_latent(const LatentQueries& queries, const LatentKeys& keys, int n_keys,
                   const LatentState& state, const LatentAhead& ahead) noexcept {
#if defined(__AMX_INT8__)
  const TileRegisters registers;
  written_for_tiles();
#endif
  const ptrdiff_t rank = padded_rank(keys.dims), rope = padded_rope(keys.dims);
  const int whole = (n_keys + kLatentGroup - 1) / kLatentGroup * kLatentGroup;
  Ahead steps(ahead, whole / kKeyBlock * static_cast<int>(rank / 4 + rope / 2) / kSteps);
  Group group;
  for (int first = 0; first < state.n_rows; first += kLanes) {
    const int n = state.n_rows - first < kLanes ? state.n_rows - first : kLanes;
    float visible[kLanes] = {};
    group.sees_all = n == kLanes;
    for (int r = 0; r < n; ++r) {
      visible[r] = static_cast<float>(state.visible[first + r]);
      group.sees_all = group.sees_all && state.visible[first + r] == whole;
    }
    group.visible = load(visible);
    group.bytes = queries.bytes + first * rank;
    group.rotated = queries.rotated + first * rope;
    group.scale = load(queries.scale + first);
    group.rotated_scale = load(queries.rotated_scale + first);
    attend_group(group, keys, whole, steps, state, first, n);
  }
}

}  // namespace minke::cpu::MINKE_ISA_NS
