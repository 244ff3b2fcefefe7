#include "models/tokenizer.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <optional>
#include <utility>

#include "models/bpe.h"
#include "models/pretokenizer.h"
#include "models/token_finder.h"
#include "models/vocabulary.h"
#include "runtime/input_file.h"
#include "runtime/utf8.h"
#include "runtime/utf8_step.h"

namespace minke {
namespace {

/// Words repeat: remembers where in the output the tokens of a word stand. It lives for one call,
/// so nothing is shared between threads; its size is bounded, a newer word takes an older's place.
class WordCache {
 public:
  explicit WordCache(size_t text_bytes)
      : slots_(std::bit_ceil(std::clamp<size_t>(text_bytes / 16, 16, 1 << 15))) {}

  void encode(const Bpe& bpe, std::string_view word, std::vector<TokenId>& out) {
    constexpr size_t kLongest = 64;  // longer ones hardly repeat
    if (word.size() > kLongest) return bpe.encode(word, out);
    Slot& slot = slots_[std::hash<std::string_view>{}(word) & (slots_.size() - 1)];
    if (slot.word == word) {
      const size_t begin = out.size();
      out.resize(begin + slot.count);
      std::copy_n(out.begin() + static_cast<ptrdiff_t>(slot.begin), slot.count,
                  out.begin() + static_cast<ptrdiff_t>(begin));
      return;
    }
    const size_t begin = out.size();
    bpe.encode(word, out);
    slot = {word, begin, out.size() - begin};
  }

 private:
  struct Slot {
    std::string_view word;  ///< In the text being encoded.
    size_t begin = 0, count = 0;
  };
  std::vector<Slot> slots_;
};

Result<TokenId> read_id(const GgufFile& file, std::string_view key, const Vocabulary& vocabulary) {
  if (!file.has(key)) return -1;
  MINKE_ASSIGN(const uint64_t id, file.get_uint(key));
  if (id >= static_cast<uint64_t>(vocabulary.size())) {
    return fail(Errc::kContent, "{}: key '{}': token {} of a vocabulary of {}",
                printable_path(file.path()), key, id, vocabulary.size());
  }
  return static_cast<TokenId>(id);
}

}  // namespace

struct Tokenizer::Impl {
  explicit Impl(Vocabulary v) : vocabulary(std::move(v)) {}

  /// `text` has no byte without a token, and outlives the cache.
  void encode_words(std::string_view text, WordCache& cache, std::vector<TokenId>& out) const;
  std::vector<TokenId> encode(std::string_view text, const TokenFinder& wanted) const;
  std::string replace_missing(std::string_view text) const;

  Vocabulary vocabulary;
  std::optional<Bpe> bpe;
  SplitWords split = nullptr;
  TokenFinder user_defined;  ///< Matched in any text, as the reference implementations do.
  TokenFinder special;       ///< User-defined and control tokens.
  bool some_bytes_missing = false;
  TokenId bos = -1, eos = -1;
  bool add_bos = true;
};

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Result<Tokenizer> Tokenizer::from_gguf(const GgufFile& file) {
  MINKE_ASSIGN(const auto model, file.get_string("tokenizer.ggml.model"));
  if (model != "gpt2") {
    return fail(Errc::kUnsupported,
                "{}: key 'tokenizer.ggml.model': '{}' is not supported (allowed 'gpt2', byte-level "
                "BPE)",
                printable_path(file.path()), printable(model));
  }
  MINKE_ASSIGN(const auto pre, file.get_string("tokenizer.ggml.pre"));
  auto split = find_pretokenizer(pre);
  if (!split) {
    return fail(split.error().code, "{}: key 'tokenizer.ggml.pre': {}", printable_path(file.path()),
                split.error().message);
  }
  MINKE_ASSIGN(auto vocabulary, Vocabulary::from_gguf(file));
  auto impl = std::make_unique<Impl>(std::move(vocabulary));
  Vocabulary& tokens = impl->vocabulary;
  impl->split = *split;
  MINKE_ASSIGN(impl->bos, read_id(file, "tokenizer.ggml.bos_token_id", tokens));
  MINKE_ASSIGN(impl->eos, read_id(file, "tokenizer.ggml.eos_token_id", tokens));
  MINKE_TRY(read_id(file, "tokenizer.ggml.padding_token_id", tokens));
  for (const TokenId id : {impl->bos, impl->eos}) {
    if (id >= 0) tokens.set_control(id);
  }
  MINKE_ASSIGN(impl->add_bos, file.get_bool_or("tokenizer.ggml.add_bos_token", true));
  MINKE_ASSIGN(auto bpe, Bpe::from_gguf(file, tokens));
  impl->bpe.emplace(std::move(bpe));

  std::vector<TokenFinder::Token> user_defined, special;
  for (TokenId id = 0; id < tokens.size(); ++id) {
    const TokenType type = tokens.type(id);
    if (type == TokenType::kUserDefined) user_defined.push_back({tokens.text(id), id});
    if (type == TokenType::kUserDefined || type == TokenType::kControl) {
      special.push_back({tokens.text(id), id});
    }
  }
  impl->user_defined = TokenFinder(std::move(user_defined));
  impl->special = TokenFinder(std::move(special));
  for (int b = 0; b < 256; ++b) {
    impl->some_bytes_missing |= tokens.byte_token(static_cast<uint8_t>(b)) < 0;
  }
  return Tokenizer(std::move(impl));
}

void Tokenizer::Impl::encode_words(std::string_view text, WordCache& cache,
                                   std::vector<TokenId>& out) const {
  std::vector<size_t> ends;
  split(text, ends);
  size_t begin = 0;
  for (const size_t end : ends) {
    cache.encode(*bpe, text.substr(begin, end - begin), out);
    begin = end;
  }
}

std::string Tokenizer::Impl::replace_missing(std::string_view text) const {
  std::string replaced;
  for (const char c : text) {
    if (vocabulary.byte_token(static_cast<uint8_t>(c)) < 0) {
      replaced += kReplacementCharacter;
    } else {
      replaced += c;
    }
  }
  return replaced;
}

std::vector<TokenId> Tokenizer::Impl::encode(std::string_view text,
                                             const TokenFinder& wanted) const {
  std::string replaced;
  const auto missing = [&](char c) { return vocabulary.byte_token(static_cast<uint8_t>(c)) < 0; };
  if (some_bytes_missing && std::any_of(text.begin(), text.end(), missing)) {
    replaced = replace_missing(text);
    text = replaced;
  }
  std::vector<TokenId> out;
  WordCache cache(text.size());
  for (size_t begin = 0; begin < text.size();) {
    const TokenFinder::Match match = wanted.find(text, begin);
    const size_t end = match.id < 0 ? text.size() : match.begin;
    encode_words(text.substr(begin, end - begin), cache, out);
    if (match.id >= 0) out.push_back(match.id);
    begin = end + match.length;
  }
  return out;
}

std::vector<TokenId> Tokenizer::encode(std::string_view text) const {
  return impl_->encode(text, impl_->user_defined);
}

std::vector<TokenId> Tokenizer::encode_with_special(std::string_view text) const {
  return impl_->encode(text, impl_->special);
}

std::string_view Tokenizer::token_bytes(TokenId id) const noexcept {
  MINKE_CHECK(impl_->vocabulary.contains(id), "token {} of {}", id, vocab_size());
  return impl_->vocabulary.bytes(id);
}

std::string Tokenizer::decode(const std::vector<TokenId>& ids) const {
  std::string text;
  for (const TokenId id : ids) text += token_bytes(id);
  return text;
}

int Tokenizer::vocab_size() const noexcept { return impl_->vocabulary.size(); }

bool Tokenizer::is_control(TokenId id) const noexcept {
  return impl_->vocabulary.contains(id) && impl_->vocabulary.type(id) == TokenType::kControl;
}

TokenId Tokenizer::bos() const noexcept { return impl_->bos; }
TokenId Tokenizer::eos() const noexcept { return impl_->eos; }
bool Tokenizer::add_bos() const noexcept { return impl_->add_bos && impl_->bos >= 0; }
TokenId Tokenizer::find(std::string_view text) const noexcept {
  return impl_->vocabulary.find(text);
}

std::string StreamDetokenizer::push(TokenId id) {
  pending_ += tokenizer_->token_bytes(id);
  std::string ready;
  size_t i = 0;
  while (i < pending_.size()) {
    const Utf8Step step = utf8_step(std::string_view(pending_).substr(i));
    if (step.kind == Utf8Step::Kind::kIncomplete) break;
    if (step.kind == Utf8Step::Kind::kValid) {
      ready.append(pending_, i, step.length);
    } else {
      ready += kReplacementCharacter;
    }
    i += step.length;
  }
  pending_.erase(0, i);
  return ready;
}

std::string StreamDetokenizer::finish() {
  // What waits is the start of one character.
  const bool waiting = !pending_.empty();
  pending_.clear();
  return std::string(waiting ? kReplacementCharacter : "");
}

}  // namespace minke
