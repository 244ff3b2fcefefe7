// What the IQ1, IQ2 and IQ3 formats share: 256 values, of which kGroup share a scale of a few bits;
//     x = (d * kUnit * (2 * scale + 1)) * (level - kOffset)
// A format's file has the struct, packed_d() and unpack_levels(), and how it is packed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "quant/half.h"
#include "quant/iq_points.h"

namespace minke {

template <class Block>
concept IqBlock = requires {
  Block::kGroup;
  Block::kUnit;
  Block::kOffset;
};

/// 1 in every byte i of which bit i is set.
[[gnu::always_inline]] inline uint64_t ones_of_bits(uint8_t bits) noexcept {
  const uint64_t one_bit_a_byte = bits * 0x0101010101010101u & 0x8040201008040201u;
  return (one_bit_a_byte + 0x7f7f7f7f7f7f7f7fu) >> 7 & 0x0101010101010101u;
}

/// Stores eight levels > 0, negated where `signs` has a bit.
[[gnu::always_inline]] inline void store_signed(uint64_t levels, uint8_t signs,
                                                uint8_t* out) noexcept {
  const uint64_t ones = ones_of_bits(signs);
  const uint64_t with_signs = (levels ^ ones * 0xff) + ones;
  std::memcpy(out, &with_signs, sizeof(with_signs));
}

/// Stores eight IQ1 levels, shifted by 1 or -1; with the offset of 9 they are 0 to 18.
[[gnu::always_inline]] inline void store_shifted(uint64_t levels, bool down,
                                                 uint8_t* out) noexcept {
  const uint64_t shifted = levels + (down ? 0 : 0x0202020202020202u);
  std::memcpy(out, &shifted, sizeof(shifted));
}

/// Eight signs of seven bits: the eighth makes their number even.
[[gnu::always_inline]] inline uint8_t even_signs(uint32_t bits) noexcept {
  const uint32_t seven = bits & 127;
  return static_cast<uint8_t>(seven | static_cast<uint32_t>(__builtin_parity(seven)) << 7);
}

template <IqBlock Block>
void decode_block(const Block& block, float* x) noexcept {
  uint8_t levels[256];
  uint8_t scales[256 / Block::kGroup];
  unpack_levels(block, levels, scales);
  const float d = f16_to_f32(packed_d(block)) * Block::kUnit;
  for (size_t i = 0; i < 256; ++i) {
    const float scale = d * static_cast<float>(2 * scales[i / Block::kGroup] + 1);
    x[i] = scale * static_cast<float>(static_cast<int8_t>(levels[i]) - Block::kOffset);
  }
}

}  // namespace minke
