// PCRE2 as the pre-tokenizers need it: UTF-8, Unicode properties, compiled to machine code.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>
#include <utility>

namespace minke {

/// Immutable and safe to share between threads; each thread searches with its own Matcher.
class Regex {
 public:
  /// The pattern is our own: one that does not compile is a programmer's mistake.
  explicit Regex(std::string_view pattern);
  Regex(Regex&&) noexcept;
  ~Regex();

  class Matcher {
   public:
    explicit Matcher(const Regex& regex);
    ~Matcher();
    /// The first match at or after `from` as (begin, end), or begin == npos if there is none. An
    /// empty match does not count. `subject` must be valid UTF-8, `from` the start of a character.
    std::pair<size_t, size_t> find(std::string_view subject, size_t from);

   private:
    struct State;
    std::unique_ptr<State> state_;
  };

 private:
  struct Code;
  std::unique_ptr<Code> code_;
};

}  // namespace minke
