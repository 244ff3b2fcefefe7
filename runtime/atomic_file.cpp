#include "runtime/atomic_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "runtime/input_file.h"

namespace minke {
namespace fs = std::filesystem;
namespace {

/// What is written goes to the system in pieces that end at multiples of this, but for flushes in
/// between: file systems that know large pages (2 MiB where small ones have 4 KiB) then keep the
/// file in them, and whoever maps it reads it faster.
constexpr size_t kPieceBytes = size_t{2} << 20;

std::string reason(int error) { return std::generic_category().message(error); }

/// Gives 0 or an errno: EEXIST where a file is there that must not be replaced.
int rename_file(const fs::path& from, const fs::path& to, AtomicFile::Existing existing) {
  if (existing == AtomicFile::Existing::kRefuse) {
    if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return 0;
    if (errno != EINVAL) return errno;
    // The file system cannot do it in one step.
    if (::access(to.c_str(), F_OK) == 0) return EEXIST;
  }
  return ::rename(from.c_str(), to.c_str()) == 0 ? 0 : errno;
}

/// PATH must be free, or a regular file that will be replaced; of a symbolic link it would be
/// unclear which of both.
Status check_target(const fs::path& path) {
  struct stat info {};
  if (path.filename().empty()) {
    return fail(Errc::kIo, "{}: names a directory, not a file", printable_path(path));
  }
  if (lstat(path.c_str(), &info) != 0) {
    return errno == ENOENT ? Status{} : Status(tl::unexpected(io_error(path, errno)));
  }
  if (S_ISREG(info.st_mode)) return {};
  return fail(Errc::kIo, "{}: is a {}, not a file that can be replaced", printable_path(path),
              S_ISDIR(info.st_mode)   ? "directory"
              : S_ISLNK(info.st_mode) ? "symbolic link"
                                      : "device or pipe");
}

struct Opened {
  int fd;
  int error;  // an errno when fd is -1; EWOULDBLOCK: another writer has the file
};

/// Locks the partial file behind `fd`, and empties it if it is not to be kept; an errno, or 0.
int take(int fd, const fs::path& partial, AtomicFile::Leftover leftover) {
  struct stat opened {};
  struct stat named {};
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) return errno;
  if (fstat(fd, &opened) != 0) return errno;
  // Another writer may have renamed or removed the file between open and flock.
  if (stat(partial.c_str(), &named) != 0 || opened.st_ino != named.st_ino ||
      opened.st_dev != named.st_dev) {
    return EWOULDBLOCK;
  }
  if (leftover == AtomicFile::Leftover::kKeep) return lseek(fd, 0, SEEK_END) >= 0 ? 0 : errno;
  return ftruncate(fd, 0) == 0 ? 0 : errno;
}

Opened open_partial(const fs::path& partial, AtomicFile::Leftover leftover) {
  const int fd = ::open(partial.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (fd < 0) return {-1, errno};
  const int error = take(fd, partial, leftover);
  if (error == 0) return {fd, 0};
  ::close(fd);
  return {-1, error};
}

Status sync_directory(const fs::path& directory) {
  const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return tl::unexpected(io_error(directory, errno));
  const int error = fsync(fd) == 0 ? 0 : errno;
  ::close(fd);
  // Some file systems have nothing to sync in a directory and say EINVAL.
  if (error == 0 || error == EINVAL) return {};
  return tl::unexpected(io_error(directory, error));
}

}  // namespace

struct AtomicFile::Impl {
  fs::path path;
  fs::path partial;
  int fd = -1;
  std::vector<std::byte> buffer;
  uint64_t n_written = 0;  // given to the system
  std::optional<Error> error;
  bool committed = false;
  bool keeps_partial = false;

  ~Impl() {
    if (fd >= 0 && !committed && !keeps_partial)
      ::unlink(partial.c_str());  // before close gives the lock back
    if (fd >= 0) ::close(fd);
  }

  fs::path directory() const { return path.has_parent_path() ? path.parent_path() : fs::path("."); }

  Status latch(int number, std::string_view what) {
    error = Error{Errc::kIo, fmt::format("{}: cannot {} after {} bytes: {}", printable_path(path),
                                         what, n_written, reason(number))};
    return tl::unexpected(*error);
  }

  Status write_through(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::write(fd, bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return latch(errno, "write");
      if (n == 0) return latch(EIO, "write");
      n_written += static_cast<uint64_t>(n);
      bytes = bytes.subspan(static_cast<size_t>(n));
    }
    return {};
  }

  Status flush() {
    MINKE_TRY(write_through(buffer));
    buffer.clear();
    return {};
  }
};

Result<AtomicFile> AtomicFile::create(const fs::path& path, Leftover leftover) {
  MINKE_TRY(check_target(path));
  auto impl = std::make_unique<Impl>();
  impl->path = path;
  impl->partial = path;
  impl->partial += ".partial";
  const Opened opened = open_partial(impl->partial, leftover);
  if (opened.error == EWOULDBLOCK) {
    return fail(Errc::kIo, "{}: another program is writing this file",
                printable_path(impl->partial));
  }
  if (opened.error == ENOENT) {
    return fail(Errc::kMissing, "{}: no such directory", printable_path(impl->directory()));
  }
  if (opened.error != 0) {
    return fail(Errc::kIo, "{}: cannot create the file: {}", printable_path(impl->partial),
                reason(opened.error));
  }
  impl->fd = opened.fd;
  impl->n_written = static_cast<uint64_t>(lseek(opened.fd, 0, SEEK_CUR));
  return AtomicFile(std::move(impl));
}

AtomicFile::AtomicFile(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
AtomicFile::AtomicFile(AtomicFile&&) noexcept = default;
AtomicFile& AtomicFile::operator=(AtomicFile&&) noexcept = default;
AtomicFile::~AtomicFile() = default;

uint64_t AtomicFile::size_bytes() const noexcept { return impl_->n_written + impl_->buffer.size(); }

Status AtomicFile::check_space(uint64_t bytes) const {
  struct statvfs info {};
  // Where the system cannot say how much is free, writing will tell.
  if (fstatvfs(impl_->fd, &info) != 0) return {};
  const uint64_t free_bytes = uint64_t{info.f_bavail} * info.f_frsize;
  if (bytes <= free_bytes) return {};
  return fail(Errc::kIo, "{}: not enough space: {} bytes are needed, {} are free",
              printable_path(impl_->path), bytes, free_bytes);
}

Status AtomicFile::write(std::span<const std::byte> bytes) {
  if (impl_->error) return tl::unexpected(*impl_->error);
  MINKE_CHECK(!impl_->committed, "{}", impl_->path.string());
  std::vector<std::byte>& buffer = impl_->buffer;
  buffer.reserve(kPieceBytes);
  while (!bytes.empty()) {
    const auto n = static_cast<size_t>(
        std::min<uint64_t>(bytes.size(), kPieceBytes - size_bytes() % kPieceBytes));
    buffer.insert(buffer.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(n));
    bytes = bytes.subspan(n);
    if (size_bytes() % kPieceBytes == 0) MINKE_TRY(impl_->flush());
  }
  return {};
}

Status AtomicFile::flush() {
  if (impl_->error) return tl::unexpected(*impl_->error);
  return impl_->flush();
}

Status AtomicFile::overwrite(uint64_t offset, std::span<const std::byte> bytes) {
  if (impl_->error) return tl::unexpected(*impl_->error);
  MINKE_CHECK(offset + bytes.size() <= size_bytes(), "{} + {}", offset, bytes.size());
  MINKE_TRY(impl_->flush());
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(impl_->fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return impl_->latch(n < 0 ? errno : EIO, "write");
    offset += static_cast<uint64_t>(n);
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return {};
}

Status AtomicFile::read_back(uint64_t offset, std::span<std::byte> out) {
  if (impl_->error) return tl::unexpected(*impl_->error);
  MINKE_CHECK(offset + out.size() <= size_bytes(), "{} + {}", offset, out.size());
  MINKE_TRY(impl_->flush());
  while (!out.empty()) {
    const ssize_t n = ::pread(impl_->fd, out.data(), out.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return impl_->latch(n < 0 ? errno : EIO, "read");
    offset += static_cast<uint64_t>(n);
    out = out.subspan(static_cast<size_t>(n));
  }
  return {};
}

Status AtomicFile::truncate(uint64_t size) {
  if (impl_->error) return tl::unexpected(*impl_->error);
  MINKE_CHECK(size <= size_bytes(), "{} of {}", size, size_bytes());
  MINKE_TRY(impl_->flush());
  const auto end = static_cast<off_t>(size);
  if (ftruncate(impl_->fd, end) != 0 || lseek(impl_->fd, end, SEEK_SET) != end) {
    return impl_->latch(errno, "cut off");
  }
  impl_->n_written = size;
  return {};
}

void AtomicFile::keep_partial(bool keep) noexcept { impl_->keeps_partial = keep; }

bool AtomicFile::has_failed() const noexcept { return impl_->error.has_value(); }

Status AtomicFile::commit(Existing existing) {
  if (impl_->error) return tl::unexpected(*impl_->error);
  MINKE_CHECK(!impl_->committed, "{}", impl_->path.string());
  MINKE_TRY(impl_->flush());
  if (fsync(impl_->fd) != 0) return impl_->latch(errno, "flush to the disk");
  const int error = rename_file(impl_->partial, impl_->path, existing);
  if (error == EEXIST) {
    impl_->error = Error{Errc::kUsage, fmt::format("{}: a file of this name appeared meanwhile",
                                                   printable_path(impl_->path))};
    return tl::unexpected(*impl_->error);
  }
  if (error != 0) return impl_->latch(error, "rename the finished file");
  impl_->committed = true;
  return sync_directory(impl_->directory());
}

}  // namespace minke
