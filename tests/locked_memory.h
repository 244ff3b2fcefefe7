// What the system tells of memory that is kept from being moved to disk.
#pragma once

#include <sys/mman.h>

#include <fstream>
#include <string>

namespace minke::test {

/// Of this process; -1 where the system does not tell.
inline int locked_kilobytes() {
  std::ifstream status("/proc/self/status");
  int kilobytes = -1;
  for (std::string word; status >> word;)
    if (word == "VmLck:") status >> kilobytes;
  return kilobytes;
}

/// False in builds with sanitizers, which leave mlock() out and say that it succeeded.
inline bool mlock_is_real() {
  static char page[2 * 4096];
  const int before = locked_kilobytes();
  if (mlock(page, sizeof(page)) != 0) return true;
  const bool real = locked_kilobytes() > before;
  munlock(page, sizeof(page));
  return real;
}

}  // namespace minke::test
