// kLanes weight rows side by side: row r is lane r.
#pragma once

#include "backends/cpu/simd/dot_i8.h"
#include "backends/cpu/simd/unroll.h"

namespace minke::cpu::MINKE_ISA_NS {
namespace {

/// kLanes weight rows of less than kMaxLaneRowBytes (unpack.h). Where there are fewer, the last one
/// stands for the others.
class RowPointers {
 public:
  RowPointers(const uint8_t* first, size_t row_bytes, int n_rows) : first_(first) {
    for (int r = 0; r < kLanes; ++r)
      offsets_[r] = static_cast<int32_t>(row_bytes) * (r < n_rows ? r : n_rows - 1);
  }

  /// out[i], lane r = dword i of the 16 bytes at byte `at` of row r.
  [[gnu::always_inline]] void load_16_bytes(size_t at, VI (&out)[4]) const {
    const uint8_t* const first = first_ + at;
    const auto row = [&](int r) { return first + offsets_[r]; };
    VI v[4];
    MINKE_UNROLL
    for (int i = 0; i < 4; ++i) v[i] = load_every_fourth(row, i);
    transpose_dwords(v, out);
  }

  /// The same of 32 bytes: of the first 16, then of the others.
  [[gnu::always_inline]] void load_32_bytes(size_t at, VI (&low)[4], VI (&high)[4]) const {
#if defined(__AVX512BW__)
    const uint8_t* const first = first_ + at;
    MINKE_ISA_NS::load_32_bytes([&](int r) { return first + offsets_[r]; }, low, high);
#else
    load_16_bytes(at, low);
    load_16_bytes(at + 16, high);
#endif
  }

 private:
  const uint8_t* first_;
  alignas(64) int32_t offsets_[kLanes];
};

}  // namespace
}  // namespace minke::cpu::MINKE_ISA_NS
