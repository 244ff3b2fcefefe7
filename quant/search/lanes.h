// Vectors of the encoders' search. A lane is a block: all arithmetic runs lane by lane, every sum
// over a block goes in the order of its values. So a block's result depends neither on how many
// lanes there are, nor on the instruction set, nor on the blocks beside it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "quant/half.h"

namespace minke::encoders::MINKE_ISA_NS {
namespace {

#if defined(__AVX512F__)
constexpr size_t kLanes = 16;
#elif defined(__AVX2__)
constexpr size_t kLanes = 8;
#else
constexpr size_t kLanes = 4;
#endif

using F = float __attribute__((vector_size(sizeof(float) * kLanes)));
using I = int32_t __attribute__((vector_size(sizeof(float) * kLanes)));  // Masks: 0 or -1 a lane.

inline F splat(float v) noexcept { return v - F{}; }
inline I splat(int32_t v) noexcept { return v - I{}; }
inline F select(I mask, F yes, F no) noexcept { return mask ? yes : no; }
// With a NaN, these give the second.
inline F min(F a, F b) noexcept { return a < b ? a : b; }
inline F max(F a, F b) noexcept { return a > b ? a : b; }

inline I bits_of(F v) noexcept { return reinterpret_cast<I>(v); }
inline F from_bits(I v) noexcept { return reinterpret_cast<F>(v); }
inline F abs(F v) noexcept { return from_bits(bits_of(v) & 0x7fffffff); }
inline F with_sign_of(F magnitude, F sign) noexcept {
  return from_bits(bits_of(magnitude) | (bits_of(sign) & INT32_MIN));
}

// To the nearest integer, for |v| < 2^22: the last bit of 0x1.8p23 is worth 1, the addition rounds.
inline F round(F v) noexcept { return (v + 0x1.8p23f) - 0x1.8p23f; }

// 0 for numbers so small that the inverse is none to work with.
inline F inverse(F v) noexcept { return select(abs(v) > 1e-30f, 1.0f / v, F{}); }
// a / b, or 0 unless b > 0.
inline F ratio(F a, F b) noexcept {
  return select(b > 0.0f, a / select(b > 0.0f, b, splat(1.0f)), F{});
}

inline bool any(I mask) noexcept {
  uint64_t words[kLanes / 2];
  std::memcpy(words, &mask, sizeof mask);
  uint64_t all = 0;
  for (const uint64_t word : words) all |= word;
  return all != 0;
}

inline F load(const float* p) noexcept {
  F v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline void store(float* p, F v) noexcept { std::memcpy(p, &v, sizeof v); }

// a[h] b[h] a[h+1] b[h+1] ..., where h is 0, or half the lanes.
template <size_t kFrom, size_t... k>
inline F zip(F a, F b, std::index_sequence<k...>) noexcept {
  return __builtin_shufflevector(a, b, (kFrom + k / 2 + k % 2 * kLanes)...);
}

inline void transpose(F (&rows)[kLanes]) noexcept {
  constexpr auto kAll = std::make_index_sequence<kLanes>();
  for (size_t size = 1; size < kLanes; size *= 2) {
    F zipped[kLanes];
    for (size_t i = 0; i < kLanes / 2; ++i) {
      zipped[2 * i] = zip<0>(rows[i], rows[i + kLanes / 2], kAll);
      zipped[2 * i + 1] = zip<kLanes / 2>(rows[i], rows[i + kLanes / 2], kAll);
    }
    for (size_t i = 0; i < kLanes; ++i) rows[i] = zipped[i];
  }
}

// values (n_blocks, kLen) to one block a lane; lanes beyond n_blocks repeat the last block.
template <size_t kLen>
inline void load_blocks(const float* values, size_t n_blocks, F (&lanes)[kLen]) noexcept {
  const float* blocks[kLanes];
  for (size_t k = 0; k < kLanes; ++k) {
    blocks[k] = values + (k < n_blocks ? k : n_blocks - 1) * kLen;
  }
  for (size_t i = 0; i < kLen; i += kLanes) {
    F rows[kLanes];
    for (size_t k = 0; k < kLanes; ++k) rows[k] = load(blocks[k] + i);
    transpose(rows);
    for (size_t k = 0; k < kLanes; ++k) lanes[i + k] = rows[k];
  }
}

}  // namespace
}  // namespace minke::encoders::MINKE_ISA_NS
