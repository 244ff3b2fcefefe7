#include "quant/bits.h"

#include <doctest/doctest.h>

#include <cstring>
#include <random>

#include "quant/k_scales.h"

using namespace minke;

namespace {

template <size_t kBytes>
void fill(uint8_t (&bytes)[kBytes], unsigned seed) {
  std::mt19937 random(seed);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
}

template <size_t kBits, size_t kStride, size_t kShift>
bool survives() {
  uint8_t bytes[64];
  uint8_t codes[512] = {};
  uint8_t back[64];
  fill(bytes, kBits * 100 + kStride);
  unpack_bits<kBits, kStride, kShift>(bytes, codes);
  pack_bits<kBits, kStride, kShift>(codes, back);
  return std::memcmp(bytes, back, sizeof(bytes)) == 0;
}

}  // namespace

TEST_CASE("codes lie in rows of a stride, lowest bits first") {
  const uint8_t bytes[4] = {0x21, 0x43, 0x65, 0x87};
  uint8_t codes[8];
  unpack_bits<4, 2>(bytes, codes);
  const uint8_t expected[8] = {1, 3, 2, 4, 5, 7, 6, 8};
  CHECK(std::memcmp(codes, expected, 8) == 0);
  const uint8_t high[1] = {0b10000001};
  unpack_bits<1, 1, 4>(high, codes);
  CHECK(codes[0] == 17);
  CHECK(codes[1] == 3);
  CHECK(codes[7] == 24);
}

TEST_CASE("packing undoes unpacking") {
  CHECK(survives<4, 16, 0>());
  CHECK(survives<4, 32, 0>());
  CHECK(survives<4, 1, 0>());
  CHECK(survives<2, 32, 4>());
  CHECK(survives<1, 32, 2>());
  CHECK(survives<1, 1, 4>());
}

TEST_CASE("six-bit scales survive packing") {
  uint8_t scales[8], mins[8], bytes[12], scales_back[8], mins_back[8];
  fill(scales, 1);
  fill(mins, 2);
  for (size_t j = 0; j < 8; ++j) {
    scales[j] &= 63;
    mins[j] &= 63;
  }
  pack_k_scales(scales, mins, bytes);
  unpack_k_scales(bytes, scales_back, mins_back);
  CHECK(std::memcmp(scales, scales_back, 8) == 0);
  CHECK(std::memcmp(mins, mins_back, 8) == 0);
}
