// UTF-8 one character at a time, for text that may be anything.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace minke {

struct Utf8Step {
  enum class Kind : uint8_t {
    kValid,       ///< A whole character.
    kInvalid,     ///< Bytes that no continuation can make valid.
    kIncomplete,  ///< The text ends inside a character that may still become valid.
  };
  Kind kind = Kind::kInvalid;
  uint32_t code_point = 0;  ///< kValid only.
  size_t length = 1;  ///< Bytes taken; for kInvalid the longest start of a character (Unicode 3.9,
                      ///< "maximal subpart"), one U+FFFD when replaced.
};

/// Looks at the start of `text`, which is not empty. Overlong forms, surrogates and values above
/// U+10FFFF are invalid.
inline Utf8Step utf8_step(std::string_view text) noexcept {
  using Kind = Utf8Step::Kind;
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint32_t lead = byte(0);
  if (lead < 0x80) return {Kind::kValid, lead, 1};
  if (lead < 0xC2 || lead > 0xF4) return {Kind::kInvalid, 0, 1};
  const size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  uint32_t low = 0x80, high = 0xBF;  // what the second byte may be
  if (lead == 0xE0) low = 0xA0;
  if (lead == 0xED) high = 0x9F;
  if (lead == 0xF0) low = 0x90;
  if (lead == 0xF4) high = 0x8F;
  uint32_t code_point = lead & (0x7Fu >> length);
  for (size_t i = 1; i < length; ++i) {
    if (i == text.size()) return {Kind::kIncomplete, 0, i};
    if (byte(i) < low || byte(i) > high) return {Kind::kInvalid, 0, i};
    code_point = code_point << 6 | (byte(i) & 0x3Fu);
    low = 0x80;
    high = 0xBF;
  }
  return {Kind::kValid, code_point, length};
}

inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";  // U+FFFD

}  // namespace minke
