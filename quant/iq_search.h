// Encoders of the IQ1, IQ2 and IQ3 formats: they choose scales, points of the code book and signs
// that leave the least squared error. What a format file adds is the way its bits are packed.
//
// `x` holds 256 finite values, `importance` as many weights >= 0 or nullptr for equal ones.
#pragma once

#include <cstdint>

namespace minke {

struct IqCodes {
  uint16_t d;          ///< f16
  uint8_t scales[16];  ///< One a group.
  uint16_t codes[64];  ///< One for eight values (IQ1, IQ2) or four (IQ3).
  uint8_t signs[32];   ///< For eight values each: bit i for value i. IQ1: bit 0, the shift is -1.
};

void encode_iq1_s(const float* x, const float* importance, IqCodes& out) noexcept;
void encode_iq1_m(const float* x, const float* importance, IqCodes& out) noexcept;
void encode_iq2_xxs(const float* x, const float* importance, IqCodes& out) noexcept;
void encode_iq2_xs(const float* x, const float* importance, IqCodes& out) noexcept;
void encode_iq2_s(const float* x, const float* importance, IqCodes& out) noexcept;
void encode_iq3_xxs(const float* x, const float* importance, IqCodes& out) noexcept;
void encode_iq3_s(const float* x, const float* importance, IqCodes& out) noexcept;

}  // namespace minke
