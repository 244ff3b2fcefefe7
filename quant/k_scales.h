// The eight scales and eight mins of Q4_K and Q5_K: sixteen 6-bit numbers in 12 bytes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "quant/half.h"

namespace minke {

//               7        6 5            0
//     byte j    [ s[4+j]5:4 | s[j]        ]     j = 0..3
//     byte 4+j  [ m[4+j]5:4 | m[j]        ]
//                7        4 3            0
//     byte 8+j  [ m[4+j]3:0 | s[4+j]3:0   ]
[[gnu::always_inline]] inline void unpack_k_scales(const uint8_t (&bytes)[12], uint8_t* scales,
                                                   uint8_t* mins) noexcept {
  for (size_t j = 0; j < 4; ++j) {
    const int low = bytes[8 + j];
    scales[j] = bytes[j] & 63;
    mins[j] = bytes[4 + j] & 63;
    scales[4 + j] = static_cast<uint8_t>((low & 15) | (bytes[j] >> 6 << 4));
    mins[4 + j] = static_cast<uint8_t>((low >> 4) | (bytes[4 + j] >> 6 << 4));
  }
}

/// The inverse.
inline void pack_k_scales(const uint8_t* scales, const uint8_t* mins,
                          uint8_t (&bytes)[12]) noexcept {
  for (size_t j = 0; j < 4; ++j) {
    bytes[j] = static_cast<uint8_t>(scales[j] | (scales[4 + j] >> 4 << 6));
    bytes[4 + j] = static_cast<uint8_t>(mins[j] | (mins[4 + j] >> 4 << 6));
    bytes[8 + j] = static_cast<uint8_t>((scales[4 + j] & 15) | (mins[4 + j] & 15) << 4);
  }
}

/// The 256 values of a block from its codes: x = (d * scale) * q - (dmin * min).
inline void decode_with_k_scales(uint16_t d_f16, uint16_t dmin_f16, const uint8_t (&bytes)[12],
                                 const uint8_t* q, float* x) noexcept {
  uint8_t scales[8];
  uint8_t mins[8];
  unpack_k_scales(bytes, scales, mins);
  const float d = f16_to_f32(d_f16);
  const float dmin = f16_to_f32(dmin_f16);
  for (size_t j = 0; j < 8; ++j) {
    const float scale = d * static_cast<float>(scales[j]);
    const float min = dmin * static_cast<float>(mins[j]);
    for (size_t i = 32 * j; i < 32 * j + 32; ++i) x[i] = scale * static_cast<float>(q[i]) - min;
  }
}

}  // namespace minke
