#include "convert/source_values.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

using namespace minke;
using namespace minke::convert;

namespace {

// Values of the codes 0x00.. times 512, from the definition of the format (arXiv 2209.05433).
constexpr uint32_t kE4M3Times512[] = {
    0,      1,      2,      3,      4,      5,      6,     7,     8,     9,      10,     11,
    12,     13,     14,     15,     16,     18,     20,    22,    24,    26,     28,     30,
    32,     36,     40,     44,     48,     52,     56,    60,    64,    72,     80,     88,
    96,     104,    112,    120,    128,    144,    160,   176,   192,   208,    224,    240,
    256,    288,    320,    352,    384,    416,    448,   480,   512,   576,    640,    704,
    768,    832,    896,    960,    1024,   1152,   1280,  1408,  1536,  1664,   1792,   1920,
    2048,   2304,   2560,   2816,   3072,   3328,   3584,  3840,  4096,  4608,   5120,   5632,
    6144,   6656,   7168,   7680,   8192,   9216,   10240, 11264, 12288, 13312,  14336,  15360,
    16384,  18432,  20480,  22528,  24576,  26624,  28672, 30720, 32768, 36864,  40960,  45056,
    49152,  53248,  57344,  61440,  65536,  73728,  81920, 90112, 98304, 106496, 114688, 122880,
    131072, 147456, 163840, 180224, 196608, 212992, 229376};
// Likewise times 65536.
constexpr uint32_t kE5M2Times65536[] = {
    0,          1,          2,          3,         4,          5,          6,          7,
    8,          10,         12,         14,        16,         20,         24,         28,
    32,         40,         48,         56,        64,         80,         96,         112,
    128,        160,        192,        224,       256,        320,        384,        448,
    512,        640,        768,        896,       1024,       1280,       1536,       1792,
    2048,       2560,       3072,       3584,      4096,       5120,       6144,       7168,
    8192,       10240,      12288,      14336,     16384,      20480,      24576,      28672,
    32768,      40960,      49152,      57344,     65536,      81920,      98304,      114688,
    131072,     163840,     196608,     229376,    262144,     327680,     393216,     458752,
    524288,     655360,     786432,     917504,    1048576,    1310720,    1572864,    1835008,
    2097152,    2621440,    3145728,    3670016,   4194304,    5242880,    6291456,    7340032,
    8388608,    10485760,   12582912,   14680064,  16777216,   20971520,   25165824,   29360128,
    33554432,   41943040,   50331648,   58720256,  67108864,   83886080,   100663296,  117440512,
    134217728,  167772160,  201326592,  234881024, 268435456,  335544320,  402653184,  469762048,
    536870912,  671088640,  805306368,  939524096, 1073741824, 1342177280, 1610612736, 1879048192,
    2147483648, 2684354560, 3221225472, 3758096384};

std::vector<float> decode_all(SourceType type) {
  std::vector<std::byte> codes(256);
  for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<std::byte>(i);
  std::vector<float> values(codes.size());
  source_format(type).decode(codes.data(), values.data(), values.size());
  return values;
}

void check_codes(SourceType type, std::span<const uint32_t> expected, double scale) {
  const std::vector<float> values = decode_all(type);
  for (size_t code = 0; code < expected.size(); ++code) {
    CAPTURE(code);
    CHECK(static_cast<double>(values[code]) == expected[code] / scale);
    CHECK(static_cast<double>(values[code + 128]) == -(expected[code] / scale));
    CHECK(std::signbit(values[code + 128]));
  }
}

}  // namespace

TEST_CASE("every E4M3 code has the value of the format's definition") {
  REQUIRE(std::size(kE4M3Times512) == 127);
  check_codes(SourceType::kF8E4M3, kE4M3Times512, 512);
  CHECK(std::isnan(decode_f8_e4m3(0x7f)));
  CHECK(std::isnan(decode_f8_e4m3(0xff)));
}

TEST_CASE("every E5M2 code has the value of the format's definition") {
  REQUIRE(std::size(kE5M2Times65536) == 124);
  check_codes(SourceType::kF8E5M2, kE5M2Times65536, 65536);
  CHECK(decode_f8_e5m2(0x7c) == std::numeric_limits<float>::infinity());
  CHECK(decode_f8_e5m2(0xfc) == -std::numeric_limits<float>::infinity());
  for (const uint8_t code : std::initializer_list<uint8_t>{0x7d, 0x7e, 0x7f, 0xfd, 0xfe, 0xff}) {
    CHECK(std::isnan(decode_f8_e5m2(code)));
  }
}

TEST_CASE("a NaN or an infinity is found wherever it stands") {
  for (const size_t n : std::initializer_list<size_t>{1, 2, 1023, 1024, 1025, 3000}) {
    std::vector<float> values(n, -3.0f);
    CHECK_FALSE(find_non_finite(values));
    for (const size_t at : {size_t{0}, n / 2, n - 1}) {
      values[at] = at % 2 == 0 ? std::numeric_limits<float>::quiet_NaN()
                               : -std::numeric_limits<float>::infinity();
      CAPTURE(n);
      CHECK(find_non_finite(values) == at);
      values[at] = std::numeric_limits<float>::max();
    }
  }
  CHECK_FALSE(find_non_finite({}));
}

TEST_CASE("the first value beyond a limit is found, of either sign, and a NaN is beyond all") {
  const float limit = 65504.0f;
  std::vector<float> values(1030, -limit);
  values[1] = 1e-45f;
  CHECK_FALSE(find_beyond(values, limit));
  values[1025] = 2 * limit;
  for (const float beyond : {std::nextafter(limit, 1e9f), -std::nextafter(limit, 1e9f),
                             std::numeric_limits<float>::infinity(), -std::nanf("")}) {
    values[1023] = beyond;
    CHECK(find_beyond(values, limit) == 1023);
    values[1023] = limit;
    CHECK(find_beyond(values, limit) == 1025);
  }
}
