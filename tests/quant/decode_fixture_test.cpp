// tests/data/quants holds random blocks of each format (TYPE.bin) and what the gguf package's numpy
// code makes of them (TYPE.f32).
#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "quant/format.h"
#include "tests/support.h"

using namespace minke;

TEST_CASE("every format decodes random blocks to the fixture's bits") {
  for (const FormatTraits& format : formats()) {
    if (format.dtype == DType::kF32) continue;  // Its blocks are the values.
    CAPTURE(format.name);
    const std::string stem = "quants/" + std::string(format.name);
    const std::string blocks = test::read_file(test::data_path(stem + ".bin"));
    const std::string bytes = test::read_file(test::data_path(stem + ".f32"));
    std::vector<float> expected(bytes.size() / sizeof(float));
    std::memcpy(expected.data(), bytes.data(), bytes.size());

    const size_t n_blocks = blocks.size() / format.block_bytes;
    REQUIRE(n_blocks > 0);
    REQUIRE(n_blocks * format.block_len == expected.size());
    std::vector<float> values(expected.size());
    format.decode(blocks.data(), values.data(), n_blocks);
    for (size_t i = 0; i < values.size(); ++i) {
      const bool both_nan = std::isnan(values[i]) && std::isnan(expected[i]);
      if (both_nan || std::bit_cast<uint32_t>(values[i]) == std::bit_cast<uint32_t>(expected[i])) {
        continue;
      }
      CAPTURE(i);
      FAIL(values[i], " instead of ", expected[i]);
    }
  }
}

TEST_CASE("F32 blocks are the values, at any alignment") {
  const float value[2] = {1.5f, -0.0f};
  char bytes[9];
  std::memcpy(bytes + 1, value, sizeof(value));
  float out[2];
  find_format(DType::kF32)->decode(bytes + 1, out, 2);
  CHECK(std::memcmp(out, value, sizeof(value)) == 0);
}
