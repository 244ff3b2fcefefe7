// Random texts for the tokenizer's tests.
#pragma once

#include <cstdint>
#include <random>
#include <string>

namespace minke::test {

inline void append_utf8(uint32_t c, std::string& out) {
  const auto put = [&](uint32_t byte) { out += static_cast<char>(byte); };
  if (c < 0x80) return put(c);
  if (c < 0x800) {
    put(0xC0 | c >> 6);
  } else {
    if (c < 0x10000) {
      put(0xE0 | c >> 12);
    } else {
      put(0xF0 | c >> 18);
      put(0x80 | (c >> 12 & 63));
    }
    put(0x80 | (c >> 6 & 63));
  }
  put(0x80 | (c & 63));
}

/// A number in [0, n), the same on every platform.
inline uint32_t below(std::mt19937& random, uint32_t n) {
  return static_cast<uint32_t>(random() % n);
}

/// A character that a tokenizer may trip over: borders of the splits' classes, spaces, digits,
/// combining marks, right-to-left, emoji with joiners, noncharacters, private use, anything.
inline uint32_t random_character(std::mt19937& random) {
  static constexpr uint32_t kOdd[] = {
      '\n',    '\r',    '\t',    ' ',     ' ',     0x0B,    0x85,    0xA0,    0xAD,    0xB5,
      0xAA,    0xC0,    0xD7,    0xFC,    0x130,   0x300,   0x301,   0x294,   0x2B0,   0x370,
      0x5D0,   0x627,   0x64B,   0x660,   0x7FF,   0x800,   0x967,   0xE01,   0x1680,  0x180E,
      0x1EC7,  0x2003,  0x200B,  0x200D,  0x2018,  0x201F,  0x2020,  0x2028,  0x2029,  0x202E,
      0x202F,  0x205F,  0x2126,  0x212A,  0x2160,  0x2183,  0x3000,  0x3001,  0x3002,  0x3003,
      0x3007,  0x3021,  0x3042,  0x30AB,  0x4DFF,  0x4E00,  0x4E01,  0x9FA5,  0x9FA6,  0xABFF,
      0xAC00,  0xD7FF,  0xE000,  0xFEFF,  0xFF01,  0xFF0F,  0xFF10,  0xFF1A,  0xFF21,  0xFF5E,
      0xFFFD,  0xFFFE,  0xFFFF,  0x10000, 0x10400, 0x1D7CE, 0x1E943, 0x1F468, 0x1F3FD, 0x1F680,
      0x1FFFE, 0x20000, 0xE0001, 0x10FFFF};
  switch (below(random, 6)) {
    case 0:
      return kOdd[below(random, std::size(kOdd))];
    case 1:
      return 0x20 + below(random, 0x5F);
    case 2:
      return 'a' + below(random, 26);
    case 3:
      return 0x4E00 + below(random, 0x1000);
    case 4:
      return below(random, 0x3000) == 0 ? 0 : below(random, 0x2100);
    default: {
      const uint32_t c = below(random, 0x110000);
      return c >= 0xD800 && c <= 0xDFFF ? c - 0x800 : c;
    }
  }
}

inline std::string random_text(std::mt19937& random, size_t n_characters) {
  std::string text;
  while (n_characters > 0) {
    // Runs, as real texts have them.
    const uint32_t c = random_character(random);
    for (uint32_t i = below(random, 4) == 0 ? 1 + below(random, 5) : 1; i > 0 && n_characters > 0;
         --i) {
      append_utf8(c, text);
      --n_characters;
    }
  }
  return text;
}

}  // namespace minke::test
