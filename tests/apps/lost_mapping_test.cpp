#include "apps/lost_mapping.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/input_file.h"
#include "runtime/mmap.h"
#include "tests/support.h"

using namespace minke;
using namespace minke::test;

TEST_CASE("a file that is cut off while it is mapped ends the program with a line that names it") {
  const TempDir dir;
  for (const char* name : {"a", "b\n", "c"}) write_file(dir / name, std::string(100'000, 'x'));
  const auto before = MappedFile::open(dir / "a");
  auto opened = MappedFile::open(dir / "b\n");
  const auto after = MappedFile::open(dir / "c");
  REQUIRE(before);
  REQUIRE(opened);
  REQUIRE(after);
  const MappedFile file = std::move(*opened);
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    apps::end_cleanly_on_lost_mapping();
    alarm(10);
    dup2(ends[1], STDERR_FILENO);
    if (truncate((dir / "b\n").c_str(), 0) != 0) _exit(1);
    const volatile std::byte* const lost = &file.bytes()[50'000];
    std::atomic<bool> go = false;
    const auto touch = [&] {
      while (!go) continue;
      _exit(std::to_integer<int>(*lost) == 'x' ? 2 : 3);
    };
    std::vector<std::thread> workers(7);
    for (std::thread& worker : workers) worker = std::thread(touch);
    go = true;
    touch();
  }
  close(ends[1]);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  std::string text(1000, '\0');
  text.resize(static_cast<size_t>(std::max<ssize_t>(read(ends[0], text.data(), text.size()), 0)));
  close(ends[0]);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 74);
  CHECK(text.starts_with("minke: " + printable_path(dir / "b\n") + ": became shorter"));
  CHECK(text.find('\n') == text.size() - 1);
}
