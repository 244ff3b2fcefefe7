// How all block formats lay small codes into bytes: one rule with two numbers, bits and stride.
//
// A group of `stride` bytes holds 8 / bits rows of `stride` codes; row 0 lies in the lowest bits of
// the bytes, row 1 above it, and so on. With 4 bits and a stride of 16, byte i of the group is
//
//      7     4 3     0
//     [ c[16+i] | c[i] ]
//
// and the codes of the next group follow those of this one.
#pragma once

#include <cstddef>
#include <cstdint>

namespace minke {

/// Reads kBytes * 8 / kBits codes. With kShift > 0 the fields are higher bits of codes whose lower
/// kShift bits are in `codes` already.
template <size_t kBits, size_t kStride, size_t kShift = 0, size_t kBytes>
[[gnu::always_inline]] inline void unpack_bits(const uint8_t (&bytes)[kBytes],
                                               uint8_t* codes) noexcept {
  static_assert(kBytes % kStride == 0 && 8 % kBits == 0 && kBits + kShift <= 8);
  for (size_t group = 0; group < kBytes; group += kStride) {
    for (size_t row = 0; row < 8 / kBits; ++row, codes += kStride) {
      for (size_t i = 0; i < kStride; ++i) {
        const unsigned field = bytes[group + i] >> row * kBits & ((1u << kBits) - 1);
        const unsigned lower = kShift == 0 ? 0u : codes[i];
        codes[i] = static_cast<uint8_t>(lower | field << kShift);
      }
    }
  }
}

/// The inverse: writes bits kShift .. kShift + kBits - 1 of the codes.
template <size_t kBits, size_t kStride, size_t kShift = 0, size_t kBytes>
inline void pack_bits(const uint8_t* codes, uint8_t (&bytes)[kBytes]) noexcept {
  static_assert(kBytes % kStride == 0 && 8 % kBits == 0 && kBits + kShift <= 8);
  for (size_t group = 0; group < kBytes; group += kStride) {
    for (size_t i = 0; i < kStride; ++i) bytes[group + i] = 0;
    for (size_t row = 0; row < 8 / kBits; ++row, codes += kStride) {
      for (size_t i = 0; i < kStride; ++i) {
        const unsigned field = static_cast<unsigned>(codes[i]) >> kShift & ((1u << kBits) - 1);
        bytes[group + i] = static_cast<uint8_t>(bytes[group + i] | field << row * kBits);
      }
    }
  }
}

}  // namespace minke
