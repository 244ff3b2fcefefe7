// A file that is open for reading.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>

#include "runtime/result.h"

namespace minke {

/// Owns the descriptor; movable. read_at() and check_unchanged() are safe in many threads at once.
class InputFile {
 public:
  /// Never waits: a pipe, a socket, a device or a directory is an error. Errors: kMissing, kIo.
  static Result<InputFile> open(const std::filesystem::path& path);
  InputFile(InputFile&& other) noexcept;
  InputFile& operator=(InputFile&& other) noexcept;
  ~InputFile();

  const std::filesystem::path& path() const noexcept { return path_; }
  int descriptor() const noexcept { return fd_; }
  uint64_t size_bytes() const noexcept { return size_bytes_; }  ///< When it was opened.
  int64_t changed_ns() const noexcept { return changed_ns_; }   ///< Likewise: since 1970.

  /// Fills `out` from an offset. Errors: kIo, also where the file has become shorter.
  Status read_at(uint64_t offset, std::span<std::byte> out) const;
  /// Error kIo if the size or the time of change is not what it was at open.
  Status check_unchanged() const;

 private:
  InputFile(std::filesystem::path path, int fd) : path_(std::move(path)), fd_(fd) {}

  std::filesystem::path path_;
  int fd_;
  uint64_t size_bytes_ = 0;
  int64_t changed_ns_ = 0;
};

/// A path for a one-line message.
std::string printable_path(const std::filesystem::path& path);

/// "FILE: REASON" for a system call on `path` that failed with `error` (an errno). Errors: kMissing
/// for a path that is not there, else kIo.
Error io_error(const std::filesystem::path& path, int error);

}  // namespace minke
