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

}  // namespace minke
