#include "backends/cpu/kernels/quantize.h"

#include <cfloat>
#include <limits>

#include "backends/cpu/simd/vec_f32.h"

namespace minke::cpu::MINKE_ISA_NS {
namespace {

/// Blocks whose largest magnitude is below this become zeros: its reciprocal must be finite.
constexpr float kTiny = 1e-35f;
/// Of a rest, in a step of the integer: it is at most half a step.
constexpr float kRestSteps = 254.0f;

/// Where the parts of a quantized block lie.
struct Block {
  int8_t* q;
  float *scale, *scaled_sum;
  int16_t* sum;

  Block(const QuantizedRows& rows, size_t at)
      : q(rows.q + at),
        scale(rows.scale + at / kQuantBlock),
        scaled_sum(rows.scaled_sum + at / kQuantBlock),
        sum(rows.sum + at / 16) {}
};

constexpr int kBlockVectors = kQuantBlock / kFloats;
/// Added to a float of at most 2^22 it rounds to an integer, which is then the low bits.
constexpr float kRounder = 0x1.8p23f;

/// Integers to bytes, the scale, and sums: values are kRounder + integer, whose low bits are the
/// integer.
void put_block(const VF (&values)[kBlockVectors], float scale, const Block& to) {
#if defined(__AVX512F__)
  const VF magic = splat(kRounder);
  float sums[4];  // Exact: they are small integers.
  sums_of_4(values[0] - magic, values[1] - magic, splat(0.0f), splat(0.0f), sums);
  for (int i = 0; i < 2; ++i) {
    const __m512i words = _mm512_castps_si512(values[i]);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to.q + 16 * i), _mm512_cvtepi32_epi8(words));
    to.sum[i] = static_cast<int16_t>(sums[i]);
  }
#elif defined(__AVX2__)
  const auto words = [&](int i) { return _mm256_castps_si256(values[i]); };
  const __m256i low_bytes = _mm256_set1_epi32(255), ones = _mm256_set1_epi8(1);
  const auto bytes_of = [&](int i) { return _mm256_and_si256(words(i), low_bytes); };
  // Packing works in halves of 128 bits, so quads of bytes come out as 0, 2, 4, 6, 1, 3, 5, 7.
  const __m256i mixed = _mm256_packus_epi16(_mm256_packus_epi32(bytes_of(0), bytes_of(1)),
                                            _mm256_packus_epi32(bytes_of(2), bytes_of(3)));
  const __m256i bytes =
      _mm256_permutevar8x32_epi32(mixed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to.q), bytes);
  const __m256i fours = _mm256_madd_epi16(_mm256_maddubs_epi16(ones, bytes), _mm256_set1_epi16(1));
  const __m256i twos = _mm256_hadd_epi32(fours, fours), all = _mm256_hadd_epi32(twos, twos);
  to.sum[0] = static_cast<int16_t>(_mm256_extract_epi32(all, 0));
  to.sum[1] = static_cast<int16_t>(_mm256_extract_epi32(all, 4));
#else
  alignas(64) float rounded[kQuantBlock];
  for (int i = 0; i < kBlockVectors; ++i) values[i].store_aligned(rounded + i * kFloats);
  int32_t words[kQuantBlock];
  std::memcpy(words, rounded, sizeof(words));
  for (int i = 0; i < kQuantBlock; ++i) to.q[i] = static_cast<int8_t>(words[i]);
  for (int half = 0; half < 2; ++half) {
    int total = 0;
    for (int i = 0; i < 16; ++i) total += to.q[16 * half + i];
    to.sum[half] = static_cast<int16_t>(total);
  }
#endif
  *to.scale = scale;
  *to.scaled_sum = static_cast<float>(to.sum[0] + to.sum[1]) * scale;
}

/// rest: where what rounding left goes, or null.
void quantize_block(const float* x, const Block& to, const Block* rest) {
  VF values[kBlockVectors];
  VF largest(0.0f), poison(0.0f);
  for (int i = 0; i < kBlockVectors; ++i) {
    const VF v = load(x + i * kFloats);
    const VF finite = xsimd::min(xsimd::max(v, splat(-FLT_MAX)), splat(FLT_MAX));
    values[i] = xsimd::select(v == v, finite, splat(0.0f));
    largest = xsimd::max(largest, xsimd::abs(values[i]));
    poison = poison + v * splat(0.0f);  // not-a-number where v is not finite
  }
  const float max = greatest(largest);
  // A value that is not finite makes the scale, and so every product, not-a-number.
  const bool is_finite = xsimd::all(poison == poison);
  const float scale = !is_finite    ? std::numeric_limits<float>::quiet_NaN()
                      : max < kTiny ? 0.0f
                                    : max / 127.0f;
  const VF inverse = splat(max < kTiny ? 0.0f : 127.0f / max);
  const VF magic = splat(kRounder);
  VF rounded[kBlockVectors];
  for (int i = 0; i < kBlockVectors; ++i) {
    values[i] = values[i] * inverse;
    rounded[i] = values[i] + magic;
  }
  put_block(rounded, scale, to);
  if (rest == nullptr) return;
  for (int i = 0; i < kBlockVectors; ++i)
    rounded[i] = (values[i] - (rounded[i] - magic)) * splat(kRestSteps) + magic;
  put_block(rounded, scale / kRestSteps, *rest);
}

constexpr int kFourBlocks = 4 * kQuantBlock;

#if defined(__AVX512BW__)

/// put_block for four blocks, one behind the other.
void put_four(const __m512 (&values)[8], __m128 scale, const Block& to) {
  __m128i halves[2];  // Sums of 16 values.
  for (int pair = 0; pair < 2; ++pair) {
    const auto integers = [&](int i) {
      return _mm512_sub_epi32(_mm512_castps_si512(values[4 * pair + i]),
                              _mm512_castps_si512(_mm512_set1_ps(kRounder)));
    };
    // Packing works in lanes of 128 bits: dword i of a lane is of vector i.
    const __m512i mixed = _mm512_packs_epi16(_mm512_packs_epi32(integers(0), integers(1)),
                                             _mm512_packs_epi32(integers(2), integers(3)));
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    _mm512_storeu_si512(to.q + 64 * pair, _mm512_permutexvar_epi32(order, mixed));
    const __m512i quads =
        _mm512_madd_epi16(_mm512_maddubs_epi16(_mm512_set1_epi8(1), mixed), _mm512_set1_epi16(1));
    const __m256i two_lanes =
        _mm256_add_epi32(_mm512_castsi512_si256(quads), _mm512_extracti64x4_epi64(quads, 1));
    halves[pair] =
        _mm_add_epi32(_mm256_castsi256_si128(two_lanes), _mm256_extracti128_si256(two_lanes, 1));
  }
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to.sum), _mm_packs_epi32(halves[0], halves[1]));
  _mm_storeu_ps(to.scale, scale);
  _mm_storeu_ps(to.scaled_sum,
                _mm_mul_ps(_mm_cvtepi32_ps(_mm_hadd_epi32(halves[0], halves[1])), scale));
}

/// quantize_block for four blocks, one behind the other; false, and nothing done, where a value is
/// not finite.
bool quantize_four(const float* x, const Block& to, const Block* rest) {
  __m512 values[8];
  __m512i largest[4];  // As bits, which are in the order of the magnitudes.
  for (int block = 0; block < 4; ++block) {
    const auto magnitudes = [&](int i) {
      values[i] = _mm512_loadu_ps(x + 16 * i);
      return _mm512_and_si512(_mm512_castps_si512(values[i]), _mm512_set1_epi32(0x7FFFFFFF));
    };
    largest[block] = _mm512_max_epu32(magnitudes(2 * block), magnitudes(2 * block + 1));
  }
  const auto fold = [](__m512i a, __m512i b) {
    return _mm512_max_epu32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
  };
  const __m512i ab = fold(largest[0], largest[1]), cd = fold(largest[2], largest[3]);
  const __m512i lanes =
      _mm512_max_epu32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
  const __m256i half =
      _mm256_max_epu32(_mm512_castsi512_si256(lanes), _mm512_extracti64x4_epi64(lanes, 1));
  const __m128i bits =
      _mm_max_epu32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
  if (_mm_movemask_epi8(_mm_cmpgt_epi32(_mm_set1_epi32(0x7F800000), bits)) != 0xFFFF) return false;

  const __m128 max = _mm_castsi128_ps(bits), top = _mm_set1_ps(127.0f);
  const __mmask8 is_some = _mm_cmp_ps_mask(max, _mm_set1_ps(kTiny), _CMP_GE_OQ);
  const __m128 scale = _mm_maskz_div_ps(is_some, max, top);
  const __m512 inverse = _mm512_castps128_ps512(_mm_maskz_div_ps(is_some, top, max));
  const __m512 magic = _mm512_set1_ps(kRounder);
  __m512 rounded[8];
  for (int i = 0; i < 8; ++i) {
    values[i] = _mm512_mul_ps(values[i], _mm512_permutexvar_ps(_mm512_set1_epi32(i / 2), inverse));
    rounded[i] = _mm512_add_ps(values[i], magic);
  }
  put_four(rounded, scale, to);
  if (rest == nullptr) return true;
  for (int i = 0; i < 8; ++i) {
    const __m512 left = _mm512_sub_ps(values[i], _mm512_sub_ps(rounded[i], magic));
    rounded[i] = _mm512_add_ps(_mm512_mul_ps(left, _mm512_set1_ps(kRestSteps)), magic);
  }
  put_four(rounded, _mm_div_ps(scale, _mm_set1_ps(kRestSteps)), *rest);
  return true;
}

#else
bool quantize_four(const float*, const Block&, const Block*) { return false; }
#endif

}  // namespace

void quantize_rows(const float* x, size_t x_stride, int n_rows, const QuantizedRows& out,
                   int first_row) noexcept {
  const auto n_cols = static_cast<size_t>(out.n_cols);
  for (int r = 0; r < n_rows; ++r) {
    const float* row = x + static_cast<size_t>(r) * x_stride;
    const size_t begin = static_cast<size_t>(first_row + r) * n_cols;
    const auto quantize = [&](auto function, size_t i) {
      if (out.rest_from == 0) return function(row + (i - begin), Block(out, i), nullptr);
      const Block rest(out, i + static_cast<size_t>(out.rest_from) * n_cols);
      return function(row + (i - begin), Block(out, i), &rest);
    };
    size_t i = begin;
    while (i < begin + n_cols) {
      if (i + kFourBlocks <= begin + n_cols && quantize(quantize_four, i)) {
        i += kFourBlocks;
      } else {
        quantize(quantize_block, i);
        i += kQuantBlock;
      }
    }
  }
}

}  // namespace minke::cpu::MINKE_ISA_NS
