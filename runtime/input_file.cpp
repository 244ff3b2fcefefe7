#include "runtime/input_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "runtime/utf8.h"

namespace minke {
namespace fs = std::filesystem;
namespace {

const char* kind_of(mode_t mode) noexcept {
  if (S_ISDIR(mode)) return "is a directory";
  if (S_ISFIFO(mode)) return "is a pipe";
  if (S_ISSOCK(mode)) return "is a socket";
  return "is a device";
}

int64_t change_time_ns(const struct stat& info) noexcept {
  return int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec;
}

}  // namespace

std::string printable_path(const fs::path& path) {
  return path.empty() ? "''" : printable(path.string(), 4096);
}

Error io_error(const fs::path& path, int error) {
  const bool missing = error == ENOENT || error == ENOTDIR;
  const std::string reason =
      error == ENOENT ? "no such file" : std::generic_category().message(error);
  return {missing ? Errc::kMissing : Errc::kIo,
          fmt::format("{}: {}", printable_path(path), reason)};
}

Result<InputFile> InputFile::open(const fs::path& path) {
  // O_NONBLOCK: opening a pipe that nobody writes to must not hang.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    // What opening a socket gives; "No such device or address" would puzzle.
    if (errno == ENXIO) return fail(Errc::kIo, "{}: is a socket, not a file", printable_path(path));
    return tl::unexpected(io_error(path, errno));
  }
  InputFile file(path, fd);
  struct stat info {};
  if (fstat(fd, &info) != 0) return tl::unexpected(io_error(path, errno));
  if (!S_ISREG(info.st_mode)) {
    return fail(Errc::kIo, "{}: {}, not a file", printable_path(path), kind_of(info.st_mode));
  }
  file.size_bytes_ = static_cast<uint64_t>(info.st_size);
  file.changed_ns_ = change_time_ns(info);
  return file;
}

InputFile::InputFile(InputFile&& other) noexcept
    : path_(std::move(other.path_)),
      fd_(std::exchange(other.fd_, -1)),
      size_bytes_(other.size_bytes_),
      changed_ns_(other.changed_ns_) {}

InputFile& InputFile::operator=(InputFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  std::swap(size_bytes_, other.size_bytes_);
  std::swap(changed_ns_, other.changed_ns_);
  return *this;
}

InputFile::~InputFile() {
  if (fd_ >= 0) ::close(fd_);
}

Status InputFile::read_at(uint64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t n = ::pread(fd_, out.data(), out.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      const std::string reason = n < 0 ? std::generic_category().message(errno)
                                       : "the file became shorter while it was read";
      return fail(Errc::kIo, "{}: offset {:#x}: {}", printable_path(path_), offset, reason);
    }
    offset += static_cast<uint64_t>(n);
    out = out.subspan(static_cast<size_t>(n));
  }
  return {};
}

Status InputFile::check_unchanged() const {
  struct stat info {};
  if (fstat(fd_, &info) != 0) return tl::unexpected(io_error(path_, errno));
  if (static_cast<uint64_t>(info.st_size) == size_bytes_ && change_time_ns(info) == changed_ns_) {
    return {};
  }
  return fail(Errc::kIo, "{}: the file was changed while it was read", printable_path(path_));
}

}  // namespace minke
