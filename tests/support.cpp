#include "tests/support.h"

#include <fcntl.h>
#include <malloc.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <stdexcept>

namespace minke::test {

namespace fs = std::filesystem;

fs::path data_path(std::string_view name) {
  return fs::path(MINKE_SOURCE_DIR) / "tests/data" / name;
}

fs::path shared_path_or_skip(std::string_view name) {
  const char* dir = std::getenv("MINKE_SHARED_DIR");
  const fs::path base = dir != nullptr ? fs::path(dir) : fs::path(MINKE_SOURCE_DIR) / "../shared";
  if (fs::exists(base / name)) return base / name;
  std::cout << "skipped: " << name << " is not here\n";
  return {};
}

TempDir::TempDir() {
  std::string name = (fs::temp_directory_path() / "minke-test-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp " + name);
  path_ = name;
}

TempDir::~TempDir() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("cannot read " + path.string());
  return {std::istreambuf_iterator<char>(in), {}};
}

void write_file(const fs::path& path, std::string_view bytes) {
  std::ofstream out(path, std::ios::binary);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!out) throw std::runtime_error("cannot write " + path.string());
}

namespace {

/// A field of /proc/self/status, in bytes.
size_t process_status(std::string_view field) {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    size_t kilobytes = 0;
    if (word == field && status >> kilobytes) return kilobytes * 1024;
  }
  return 0;
}

}  // namespace

size_t peak_growth(const std::function<void()>& body) {
  malloc_trim(0);
  std::ofstream("/proc/self/clear_refs") << "5";  // the peak starts anew
  const size_t before = process_status("VmRSS:");
  body();
  const size_t peak = process_status("VmHWM:");
  return peak > before ? peak - before : 0;
}

ProgramResult run_program(const std::vector<std::string>& argv, std::string_view input) {
  // Files instead of pipes: nothing can block, however much is written.
  const TempDir dir;
  write_file(dir / "in", input);
  posix_spawn_file_actions_t streams;
  posix_spawn_file_actions_init(&streams);
  constexpr int kCreate = O_WRONLY | O_CREAT;
  const std::string in = dir / "in", out = dir / "out", err = dir / "err";
  posix_spawn_file_actions_addopen(&streams, STDIN_FILENO, in.c_str(), O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&streams, STDOUT_FILENO, out.c_str(), kCreate, 0600);
  posix_spawn_file_actions_addopen(&streams, STDERR_FILENO, err.c_str(), kCreate, 0600);

  std::vector<char*> args;
  for (const std::string& arg : argv) args.push_back(const_cast<char*>(arg.c_str()));
  args.push_back(nullptr);
  pid_t child = 0;
  const int failure = posix_spawnp(&child, args[0], &streams, nullptr, args.data(), environ);
  posix_spawn_file_actions_destroy(&streams);
  if (failure != 0) throw std::runtime_error("cannot start " + argv.at(0));
  int state = 0;
  if (waitpid(child, &state, 0) != child) throw std::runtime_error("waitpid " + argv.at(0));
  const int exit_code = WIFEXITED(state) ? WEXITSTATUS(state) : -WTERMSIG(state);
  return {exit_code, read_file(out), read_file(err)};
}

}  // namespace minke::test
