// F32: as it is.
#pragma once

#include <cstddef>

namespace minke {

struct [[gnu::packed]] BlockF32 {
  static constexpr size_t kLen = 1;
  float value;
};
static_assert(sizeof(BlockF32) == 4);

inline void decode_block(const BlockF32& block, float* x) noexcept { *x = block.value; }

inline void encode_block(const float* x, const float*, BlockF32& block) noexcept {
  block.value = *x;
}

}  // namespace minke
