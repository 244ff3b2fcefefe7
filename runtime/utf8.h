// UTF-8 as outside input: checking it, and showing untrusted text to a person.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace minke {

/// Length in bytes of the character that starts `text` (1-4), 0 if `text` is empty or does not
/// start with a well-formed character: overlong forms, surrogates and values above U+10FFFF are not
/// (Unicode 15, table 3-7).
size_t utf8_char_length(std::string_view text) noexcept;

bool is_valid_utf8(std::string_view text) noexcept;

/// `text` for a one-line message: control characters and bytes that are not UTF-8 become \xNN, and
/// what is longer than max_bytes ends in "...". A file cannot forge lines or terminal commands.
std::string printable(std::string_view text, size_t max_bytes = 96);

}  // namespace minke
