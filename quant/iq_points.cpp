#include "quant/iq_points.h"

namespace minke {
namespace {

#include "quant/iq_points.inc"

template <class Word, size_t kN, size_t kLevels, size_t kWords>
consteval CodeBook<Word, kN> expand(const uint64_t (&bits)[kWords],
                                    const uint8_t (&levels)[kLevels]) {
  CodeBook<Word, kN> book{};
  size_t n = 0;
  for (size_t point = 0; point < 64 * kWords; ++point) {
    if ((bits[point / 64] >> point % 64 & 1) == 0) continue;
    Word word = 0;
    size_t digits = point;
    for (size_t i = 0; i < sizeof(Word); ++i, digits /= kLevels) {
      word |= static_cast<Word>(levels[digits % kLevels]) << 8 * i;
    }
    book.word[n++] = word;  // A point too many is an error of the compiler.
  }
  return n == kN ? book : throw "points are missing";
}

constexpr uint8_t kIQ1Levels[] = {0, 8, 16};
constexpr uint8_t kIQ2Levels[] = {8, 25, 43};
constexpr uint8_t kIQ3_XXSLevels[] = {4, 12, 20, 28, 36, 44, 52, 62};
constexpr uint8_t kIQ3_SLevels[] = {1, 3, 5, 7, 9, 11, 13, 15};

}  // namespace

constinit const CodeBook<uint64_t, 2048> kIQ1Book =
    expand<uint64_t, 2048>(kIQ1_SPoints, kIQ1Levels);
constinit const CodeBook<uint64_t, 256> kIQ2_XXSBook =
    expand<uint64_t, 256>(kIQ2_XXSPoints, kIQ2Levels);
constinit const CodeBook<uint64_t, 512> kIQ2_XSBook =
    expand<uint64_t, 512>(kIQ2_XSPoints, kIQ2Levels);
constinit const CodeBook<uint64_t, 1024> kIQ2_SBook =
    expand<uint64_t, 1024>(kIQ2_SPoints, kIQ2Levels);
constinit const CodeBook<uint32_t, 256> kIQ3_XXSBook =
    expand<uint32_t, 256>(kIQ3_XXSPoints, kIQ3_XXSLevels);
constinit const CodeBook<uint32_t, 512> kIQ3_SBook =
    expand<uint32_t, 512>(kIQ3_SPoints, kIQ3_SLevels);

}  // namespace minke
