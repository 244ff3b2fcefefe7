#include "apps/lost_mapping.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "runtime/mmap.h"
#include "tests/support.h"

using namespace minke;
using namespace minke::test;

TEST_CASE("a file that is cut off while it is mapped ends the program with a line, not a signal") {
  const TempDir dir;
  write_file(dir / "a", std::string(100'000, 'x'));
  const auto file = MappedFile::open(dir / "a");
  REQUIRE(file);
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    apps::end_cleanly_on_lost_mapping();
    dup2(ends[1], STDERR_FILENO);
    if (truncate((dir / "a").c_str(), 0) != 0) _exit(1);
    const volatile std::byte* const lost = &file->bytes()[50'000];
    _exit(std::to_integer<int>(*lost) == 'x' ? 2 : 3);
  }
  close(ends[1]);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  std::string text(1000, '\0');
  text.resize(static_cast<size_t>(std::max<ssize_t>(read(ends[0], text.data(), text.size()), 0)));
  close(ends[0]);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 74);
  CHECK(text.starts_with("minke: a file in use became shorter"));
  CHECK(text.find('\n') == text.size() - 1);
}
