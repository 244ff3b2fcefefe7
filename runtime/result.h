// Errors travel as values: every function that meets outside input returns a Result.
#pragma once

#include <fmt/format.h>

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace minke {

enum class Errc {
  kUsage,        ///< The caller asked for something that makes no sense. Exit code 1.
  kMissing,      ///< A file is not there. Exit code 66.
  kIo,           ///< Reading or writing failed. Exit code 74.
  kContent,      ///< A file's content is bad. Exit code 65.
  kShape,        ///< Shapes do not fit each other (a programmer's graph, a file's tensors). 65.
  kUnsupported,  ///< Well-formed, but Minke does not do it. Exit code 1.
  kMemory,       ///< Not enough memory. Exit code 1.
  kDevice,       ///< A device failed. Exit code 1.
  kCancelled,    ///< The user interrupted. Exit code 130.
};

/// One line for a person: the file, the place and the reason.
struct [[nodiscard]] Error {
  Errc code;
  std::string message;
};

template <class T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

/// `return fail(Errc::kIo, "{}: {}", path, reason);`
template <class... Args>
tl::unexpected<Error> fail(Errc code, fmt::format_string<Args...> format, Args&&... args) {
  return tl::unexpected<Error>(Error{code, fmt::format(format, std::forward<Args>(args)...)});
}

/// The process exit code for an error, as conventions of command-line tools have it (sysexits.h).
int exit_code(Errc code) noexcept;

/// A programmer's mistake: prints the place and the text, then aborts.
[[noreturn]] void check_failed(const char* file, int line, const char* condition,
                               const std::string& text) noexcept;

}  // namespace minke

#define MINKE_CHECK(condition, ...)                                                      \
  do {                                                                                   \
    if (!(condition)) [[unlikely]]                                                       \
      ::minke::check_failed(__FILE__, __LINE__, #condition, ::fmt::format(__VA_ARGS__)); \
  } while (0)

/// Hands an error on to the caller: `MINKE_TRY(file.write(bytes));`
#define MINKE_TRY(...)                                                        \
  do {                                                                        \
    if (auto minke_try_ = (__VA_ARGS__); !minke_try_)                         \
      return ::tl::unexpected<::minke::Error>(std::move(minke_try_).error()); \
  } while (0)

/// Declares `var` from a Result or hands the error on: `MINKE_ASSIGN(auto x, parse(text));`
#define MINKE_ASSIGN(var, ...) \
  MINKE_ASSIGN_(var, MINKE_CONCAT_(minke_result_, __LINE__), __VA_ARGS__)
#define MINKE_ASSIGN_(var, tmp, ...)                                         \
  auto tmp = (__VA_ARGS__);                                                  \
  if (!tmp) return ::tl::unexpected<::minke::Error>(std::move(tmp).error()); \
  var = std::move(*tmp)
#define MINKE_CONCAT_(a, b) MINKE_CONCAT2_(a, b)
#define MINKE_CONCAT2_(a, b) a##b
