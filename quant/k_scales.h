// The eight scales and eight mins of Q4_K and Q5_K: sixteen 6-bit numbers in 12 bytes.
#pragma once

#include <cstddef>
#include <cstdint>

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

}  // namespace minke
