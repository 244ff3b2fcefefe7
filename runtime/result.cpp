#include "runtime/result.h"

#include <cstdio>
#include <cstdlib>

namespace minke {

int exit_code(Errc code) noexcept {
  switch (code) {
    case Errc::kContent:
    case Errc::kShape:
      return 65;
    case Errc::kMissing:
      return 66;
    case Errc::kIo:
      return 74;
    case Errc::kCancelled:
      return 130;
    case Errc::kUsage:
    case Errc::kUnsupported:
    case Errc::kMemory:
    case Errc::kDevice:
      return 1;
  }
  return 1;
}

void check_failed(const char* file, int line, const char* condition,
                  const std::string& text) noexcept {
  std::fprintf(stderr, "%s:%d: check failed: %s: %s\n", file, line, condition, text.c_str());
  std::abort();
}

}  // namespace minke
