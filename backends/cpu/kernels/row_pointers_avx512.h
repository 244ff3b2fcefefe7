// Sixteen weight rows side by side, as AVX-512 reads them.
#pragma once

#include "backends/cpu/simd/dot_i8.h"
#include "backends/cpu/simd/unroll.h"

namespace minke::cpu::MINKE_ISA_NS {
namespace {

/// Sixteen weight rows of less than 128 MiB. Where there are fewer, the last one stands for the
/// others.
class RowPointers {
 public:
  RowPointers(const uint8_t* first, size_t row_bytes, int n_rows) : first_(first) {
    for (int r = 0; r < kLanes; ++r)
      offsets_[r] = static_cast<int32_t>(row_bytes) * (r < n_rows ? r : n_rows - 1);
  }

  template <class Block>
  const Block* at(int row) const {
    return reinterpret_cast<const Block*>(first_ + offsets_[row]);
  }
  /// Dword i is 4 bytes at byte `at_byte` of row i.
  VI gather(size_t at_byte) const {
    return _mm512_i32gather_epi32(load_bytes(offsets_), first_ + at_byte, 1);
  }
  /// out[i], lane r = dword i of the 16 bytes at byte `at_byte` of row r.
  void load_16_bytes(size_t at_byte, VI (&out)[4]) const {
    VI v[4];
    MINKE_UNROLL
    for (int i = 0; i < 4; ++i) {
      const auto row = [&](int lane) { return at<uint8_t>(i + 4 * lane) + at_byte; };
      v[i] = load_lanes(row(0), row(1), row(2), row(3));
    }
    transpose_dwords(v, out);
  }

 private:
  const uint8_t* first_;
  alignas(64) int32_t offsets_[kLanes];
};

}  // namespace
}  // namespace minke::cpu::MINKE_ISA_NS
