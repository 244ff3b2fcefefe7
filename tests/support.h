// What tests share: where data lies, temporary directories, running the program.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace minke::test {

/// A file of tests/data, which the repository holds.
std::filesystem::path data_path(std::string_view name);

/// A file of the optional directory of large shared data: $MINKE_SHARED_DIR, or ../shared beside
/// the repository. Where it is absent, prints "skipped: NAME is not here" and gives an empty path:
/// the test returns.
std::filesystem::path shared_path_or_skip(std::string_view name);

/// A new directory that is removed with everything in it.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }
  const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
};

std::string read_file(const std::filesystem::path& path);
void write_file(const std::filesystem::path& path, std::string_view bytes);

/// How much the memory of this process grows at most while `body` runs, in bytes; 0 where the
/// system does not tell.
size_t peak_growth(const std::function<void()>& body);

struct ProgramResult {
  int exit_code = -1;  ///< Minus the signal's number if a signal ended it.
  std::string out;
  std::string err;
};

/// Runs a program (argv[0], looked up in PATH) to its end with `input` as its standard input.
/// Throws if it cannot be started.
ProgramResult run_program(const std::vector<std::string>& argv, std::string_view input = {});

}  // namespace minke::test
