#include "tests/apps/run_minke.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <stdexcept>

#include "tests/support.h"

namespace minke::test {
namespace {

/// The child's side: never returns.
[[noreturn]] void run_child(const std::vector<std::string>& arguments,
                            const std::vector<std::string>& environment, const TempDir& dir) {
  const auto redirect = [&dir](const char* name, int flags, int to) {
    const int fd = ::open((dir / name).c_str(), flags, 0600);
    if (fd < 0 || dup2(fd, to) < 0) _exit(126);
  };
  redirect("in", O_RDONLY, STDIN_FILENO);
  redirect("out", O_WRONLY | O_CREAT | O_TRUNC, STDOUT_FILENO);
  redirect("err", O_WRONLY | O_CREAT | O_TRUNC, STDERR_FILENO);
  for (const std::string& line : environment) putenv(const_cast<char*>(line.c_str()));
  std::vector<char*> argv = {const_cast<char*>(MINKE_BINARY)};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  execv(MINKE_BINARY, argv.data());
  _exit(127);
}

}  // namespace

RunResult run_minke(const std::vector<std::string>& arguments,
                    const std::vector<std::string>& environment, const std::string& input) {
  const TempDir dir;
  write_file(dir / "in", input);
  const pid_t child = fork();
  if (child < 0) throw std::runtime_error("fork failed");
  if (child == 0) run_child(arguments, environment, dir);
  int status = 0;
  if (waitpid(child, &status, 0) != child) throw std::runtime_error("waitpid failed");
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status), read_file(dir / "out"),
          read_file(dir / "err")};
}

}  // namespace minke::test
