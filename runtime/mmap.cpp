#include "runtime/mmap.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <system_error>
#include <utility>

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

int to_madvise(MappedFile::Advice advice) noexcept {
  switch (advice) {
    case MappedFile::Advice::kNormal:
      return MADV_NORMAL;
    case MappedFile::Advice::kRandom:
      return MADV_RANDOM;
    case MappedFile::Advice::kSequential:
      return MADV_SEQUENTIAL;
    case MappedFile::Advice::kWillNeed:
      return MADV_WILLNEED;
    case MappedFile::Advice::kDontNeed:
      return MADV_DONTNEED;
  }
  return MADV_NORMAL;
}

Result<std::span<const std::byte>> map_descriptor(int fd, const fs::path& path) {
  struct stat info {};
  if (fstat(fd, &info) != 0) return tl::unexpected(io_error(path, errno));
  if (!S_ISREG(info.st_mode)) {
    return fail(Errc::kIo, "{}: {}, not a file", printable_path(path), kind_of(info.st_mode));
  }
  if (info.st_size <= 0) return fail(Errc::kContent, "{}: the file is empty", printable_path(path));
  const auto size = static_cast<size_t>(info.st_size);
  void* data = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  if (data == MAP_FAILED) return tl::unexpected(io_error(path, errno));
  return std::span(static_cast<const std::byte*>(data), size);
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

Result<MappedFile> MappedFile::open(const fs::path& path) {
  // O_NONBLOCK: opening a pipe that nobody writes to must not hang.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return tl::unexpected(io_error(path, errno));
  auto bytes = map_descriptor(fd, path);
  ::close(fd);  // The mapping holds the file.
  if (!bytes) return tl::unexpected(std::move(bytes).error());
  MappedFile file;
  file.path_ = path;
  file.bytes_ = *bytes;
  return file;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)), bytes_(std::exchange(other.bytes_, {})) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

void MappedFile::advise(Advice advice, std::span<const std::byte> range) const noexcept {
  if (range.empty()) return;
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(range.data()) / page * page;
  const auto end = reinterpret_cast<uintptr_t>(range.data()) + range.size();
  // A hint: nothing depends on its success.
  (void)madvise(reinterpret_cast<void*>(begin), end - begin, to_madvise(advice));
}

Status MappedFile::lock() const {
  if (mlock(bytes_.data(), bytes_.size()) == 0) return {};
  const int error = errno;
  rlimit limit{};
  getrlimit(RLIMIT_MEMLOCK, &limit);
  return fail(
      Errc::kMemory, "{}: cannot keep {} bytes in memory: {} (the limit, ulimit -l, is {})",
      printable_path(path_), bytes_.size(), std::generic_category().message(error),
      limit.rlim_cur == RLIM_INFINITY ? "unlimited" : fmt::format("{} bytes", limit.rlim_cur));
}

}  // namespace minke
