// kLanes weight rows side by side: row r is lane r.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backends/cpu/simd/dot_i8.h"
#include "backends/cpu/simd/unroll.h"

namespace minke::cpu::MINKE_ISA_NS {
namespace {

/// kLanes weight rows, row_bytes apart.
class RowPointers {
 public:
  RowPointers(const uint8_t* first, size_t row_bytes)
      : first_(first), one_(row_bytes), three_(3 * row_bytes), four_(4 * row_bytes) {}

  /// The first byte of row r. Written so that few registers hold all addresses: those of every
  /// fourth row, and distances of one row, which an address can double, and of three.
  [[gnu::always_inline]] const uint8_t* operator()(int r) const {
    const uint8_t* const first = first_ + static_cast<size_t>(r / 4) * four_;
    return r % 4 == 3 ? first + three_ : first + static_cast<size_t>(r % 4) * one_;
  }

  /// out[i], lane r = dword i of the 16 bytes at byte `at` of row r.
  [[gnu::always_inline]] void load_16_bytes(size_t at, VI (&out)[4]) const {
    VI v[4];
    MINKE_UNROLL
    for (int i = 0; i < 4; ++i) v[i] = load_every_fourth(from(at), i);
    transpose_dwords(v, out);
  }

  /// The same of 32 bytes: of the first 16, then of the others.
  [[gnu::always_inline]] void load_32_bytes(size_t at, VI (&low)[4], VI (&high)[4]) const {
#if defined(__AVX512BW__)
    MINKE_ISA_NS::load_32_bytes(from(at), low, high);
#else
    load_16_bytes(at, low);
    load_16_bytes(at + 16, high);
#endif
  }

  /// Asks the L1 cache for byte `at` of a quarter of the rows.
  [[gnu::always_inline]] void fetch_quarter(int quarter, size_t at) const {
    constexpr int kQuarter = kLanes / 4;
    const uint8_t* const first = first_ + at + static_cast<size_t>(kQuarter * quarter) * one_;
    MINKE_UNROLL
    for (int r = 0; r < kQuarter; ++r)
      __builtin_prefetch(first + static_cast<size_t>(r) * one_, 0, 3);
  }

 private:
  /// The same rows from byte `at` on.
  [[gnu::always_inline]] RowPointers from(size_t at) const {
    RowPointers rows = *this;
    rows.first_ += at;
    return rows;
  }

  const uint8_t* first_;
  size_t one_, three_, four_;
};

}  // namespace
}  // namespace minke::cpu::MINKE_ISA_NS
