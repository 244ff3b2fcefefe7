// The code books of the IQ1, IQ2 and IQ3 formats.
//
// A code stands for eight values of three levels (IQ1, IQ2), or four of eight levels (IQ3). Of all
// such points a book holds only some; codes number these in ascending order, where a point is a
// number whose lowest digit is the level of the first value. Which points are in a book is a fact
// of the formats; iq_points.inc has one bit for each.
#pragma once

#include <cstddef>
#include <cstdint>

namespace minke {

/// What codes stand for: byte i of a word is the level of value i.
template <class WordType, size_t kN>
struct CodeBook {
  using Word = WordType;
  static constexpr size_t kSize = kN;
  Word word[kN];
};

/// Levels 0, 8 and 16. IQ1_S and IQ1_M.
extern const CodeBook<uint64_t, 2048> kIQ1Book;
/// Levels 8, 25 and 43.
extern const CodeBook<uint64_t, 256> kIQ2_XXSBook;
extern const CodeBook<uint64_t, 512> kIQ2_XSBook;
extern const CodeBook<uint64_t, 1024> kIQ2_SBook;
/// Levels 4, 12, .. 52 and 62.
extern const CodeBook<uint32_t, 256> kIQ3_XXSBook;
/// Levels 1, 3, .. 15.
extern const CodeBook<uint32_t, 512> kIQ3_SBook;

}  // namespace minke
