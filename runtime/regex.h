// Regular expressions by PCRE2: UTF-8, Unicode properties, compiled to machine code.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>
#include <utility>

#include "runtime/result.h"

namespace minke {

/// Immutable, cheap to copy and safe to share between threads; each thread searches with its own
/// Matcher.
class Regex {
 public:
  /// The pattern is our own: one that does not compile is a programmer's mistake.
  explicit Regex(std::string_view pattern);
  /// A user's pattern. Errors: kUsage, the reason and the place in the pattern.
  static Result<Regex> compile(std::string_view pattern);

  /// Whether some part of `subject` matches, an empty one too. False also where PCRE2 gives up: at
  /// invalid UTF-8, or a pattern that asks for too much work.
  bool found_in(std::string_view subject) const;

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
  explicit Regex(std::shared_ptr<const Code> code) noexcept;
  std::shared_ptr<const Code> code_;
};

}  // namespace minke
