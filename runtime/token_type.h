// What kinds of tokens a GGUF vocabulary has: what convert writes and the tokenizer reads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace minke {

/// The values are those of tokenizer.ggml.token_type.
enum class TokenType : uint8_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6,
};

inline constexpr size_t kMaxTokenBytes = 16 << 10;

/// "<｜User｜>", "<|EOT|>": such tokens steer the model even where a checkpoint or an older file
/// calls them user-defined, which would let a user's text forge them.
constexpr bool looks_like_control(std::string_view text) noexcept {
  return (text.starts_with("<|") || text.starts_with("<\uFF5C")) &&
         (text.ends_with("|>") || text.ends_with("\uFF5C>"));
}

}  // namespace minke
