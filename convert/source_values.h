// Decoding a checkpoint's element types to f32.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "convert/safetensors.h"

namespace minke::convert {

/// One FP8 code: sign, 4 bits exponent (bias 7), 3 bits mantissa, no infinities, 0x7f and 0xff NaN.
/// Micikevicius et al., "FP8 formats for deep learning" (arXiv 2209.05433), table 1.
float decode_f8_e4m3(uint8_t code) noexcept;
/// One FP8 code: sign, 5 bits exponent (bias 15), 2 bits mantissa, infinities and NaN as in IEEE
/// 754.
float decode_f8_e5m2(uint8_t code) noexcept;

/// values.size() elements from as many packed ones. is_float(type) must hold; `bytes` is aligned
/// for the type.
void decode_values(SourceType type, const std::byte* bytes, std::span<float> values) noexcept;

/// Index of the first NaN or infinity.
std::optional<size_t> find_non_finite(std::span<const float> values) noexcept;

}  // namespace minke::convert
