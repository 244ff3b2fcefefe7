#include "models/vocabulary.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>

#include "runtime/input_file.h"
#include "runtime/model_ranges.h"
#include "runtime/utf8.h"
#include "runtime/utf8_step.h"

namespace minke {
namespace {

constexpr std::string_view kTokens = "tokenizer.ggml.tokens";
constexpr std::string_view kTypes = "tokenizer.ggml.token_type";

/// GPT-2's map: printable Latin-1 characters stand for themselves, the other 68 bytes, in order,
/// for U+0100 and on.
struct ByteMap {
  std::array<uint16_t, 256> to_char{};
  std::array<int16_t, 0x144> to_byte{};

  ByteMap() {
    to_byte.fill(-1);
    uint16_t next = 0x100;
    for (int b = 0; b < 256; ++b) {
      const bool printable = (b > 0x20 && b < 0x7F) || (b > 0xA0 && b != 0xAD);
      const uint16_t c = printable ? static_cast<uint16_t>(b) : next++;
      to_char[static_cast<size_t>(b)] = c;
      to_byte[c] = static_cast<int16_t>(b);
    }
  }
};

const ByteMap& byte_map() {
  static const ByteMap map;
  return map;
}

/// The text of a byte's character.
std::string mapped_char(uint8_t byte) {
  const uint32_t c = byte_map().to_char[byte];
  if (c < 0x80) return std::string(1, static_cast<char>(c));
  return {static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 0x3F))};
}

/// The bytes behind a normal token's text; a text with a character outside the map stands for
/// itself, as in the reference implementation.
std::string unmap(std::string_view text) {
  std::string bytes;
  for (size_t i = 0; i < text.size();) {
    const Utf8Step step = utf8_step(text.substr(i));
    const bool known = step.kind == Utf8Step::Kind::kValid &&
                       step.code_point < byte_map().to_byte.size() &&
                       byte_map().to_byte[step.code_point] >= 0;
    if (!known) return std::string(text);
    bytes += static_cast<char>(byte_map().to_byte[step.code_point]);
    i += step.length;
  }
  return bytes;
}

/// "<0x0A>"
std::optional<char> parse_byte_token(std::string_view text) {
  if (text.size() != 6 || !text.starts_with("<0x") || text.back() != '>') return std::nullopt;
  unsigned value = 0;
  const char* digits = text.data() + 3;
  const auto [end, error] = std::from_chars(digits, digits + 2, value, 16);
  if (error != std::errc() || end != digits + 2) return std::nullopt;
  return static_cast<char>(value);
}

}  // namespace

Result<Vocabulary> Vocabulary::from_gguf(const GgufFile& file) {
  MINKE_ASSIGN(const auto texts, file.get_strings(kTokens, ranges::kVocab));
  Vocabulary vocabulary;
  vocabulary.texts_.assign(texts.begin(), texts.end());
  MINKE_TRY(vocabulary.read_types(file));
  MINKE_TRY(vocabulary.index(file));
  MINKE_TRY(vocabulary.find_bytes(file));
  return vocabulary;
}

Status Vocabulary::read_types(const GgufFile& file) {
  types_.assign(texts_.size(), TokenType::kNormal);
  if (!file.has(kTypes)) return {};
  const auto n_tokens = static_cast<int64_t>(texts_.size());
  MINKE_ASSIGN(const auto types, file.get_ints(kTypes, {n_tokens, n_tokens}));
  for (size_t i = 0; i < types.size(); ++i) {
    if (types[i] < 1 || types[i] > 6) {
      return fail(Errc::kContent, "{}: key '{}': entry {} is {} (allowed 1 to 6)",
                  printable_path(file.path()), kTypes, i, types[i]);
    }
    types_[i] = static_cast<TokenType>(types[i]);
    if (types_[i] != TokenType::kUserDefined) continue;
    if (looks_like_control(texts_[i])) types_[i] = TokenType::kControl;
    // Converters fill the rows between the tokenizer's and the embedding's size with these.
    if (texts_[i] == fmt::format("[PAD{}]", i)) types_[i] = TokenType::kUnused;
  }
  return {};
}

Status Vocabulary::index(const GgufFile& file) {
  by_text_.reserve(texts_.size());
  bytes_.reserve(texts_.size());
  for (size_t i = 0; i < texts_.size(); ++i) {
    const std::string& text = texts_[i];
    if (text.empty() || text.size() > kMaxTokenBytes) {
      return fail(Errc::kContent, "{}: key '{}': token {} is {} bytes long (allowed 1 to {})",
                  printable_path(file.path()), kTokens, i, text.size(), kMaxTokenBytes);
    }
    const auto [known, is_new] = by_text_.emplace(text, static_cast<TokenId>(i));
    if (!is_new) {
      return fail(Errc::kContent, "{}: key '{}': tokens {} and {} are the same ('{}')",
                  printable_path(file.path()), kTokens, known->second, i, printable(text));
    }
    const auto byte =
        types_[i] == TokenType::kByte ? parse_byte_token(text) : std::optional<char>();
    bytes_.push_back(byte                              ? std::string(1, *byte)
                     : types_[i] == TokenType::kNormal ? unmap(text)
                                                       : text);
  }
  return {};
}

Status Vocabulary::find_bytes(const GgufFile& file) {
  for (int b = 0; b < 256; ++b) {
    const auto byte = static_cast<uint8_t>(b);
    // A user-defined token with a byte's character is that character, not the byte: the real
    // vocabulary has "ü" (U+00FC) so, and no token for the byte 0xFC.
    TokenId id = find(mapped_char(byte));
    if (id >= 0 && type(id) != TokenType::kNormal) id = -1;
    if (id < 0) {
      id = find(fmt::format("<0x{:02X}>", b));
      if (id >= 0 && type(id) != TokenType::kByte) id = -1;
    }
    byte_tokens_[byte] = id;
    const bool in_utf8 = b < 0xC0 || (b >= 0xC2 && b <= 0xF4);
    if (id < 0 && in_utf8) {
      return fail(Errc::kContent, "{}: key '{}': no token stands for the byte 0x{:02X}",
                  printable_path(file.path()), kTokens, b);
    }
  }
  return {};
}

TokenId Vocabulary::find(std::string_view text) const noexcept {
  const auto found = by_text_.find(text);
  return found == by_text_.end() ? -1 : found->second;
}

}  // namespace minke
