#include "convert/file_text.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "runtime/utf8.h"

namespace minke::convert {
namespace {

namespace fs = std::filesystem;

bool is_plain_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.size() <= 255 &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos;
}

Errc code_of(int error) { return error == ENOENT || error == ENOTDIR ? Errc::kMissing : Errc::kIo; }

Status read_all(int fd, const fs::path& path, std::string& text) {
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t n = ::read(fd, text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(Errc::kIo, "{}: cannot read: {}", path.string(), std::strerror(errno));
    if (n == 0) return fail(Errc::kIo, "{}: became shorter while it was read", path.string());
    done += static_cast<size_t>(n);
  }
  return {};
}

}  // namespace

Result<fs::path> resolve_in(const fs::path& dir, const std::string& name) {
  const fs::path path = dir / name;
  if (!is_plain_name(name)) {
    return fail(Errc::kContent, "{}: '{}' is not a plain file name", dir.string(), printable(name));
  }
  std::error_code error;
  const fs::path target = fs::canonical(path, error);
  if (error) {
    return fail(code_of(error.value()), "{}: {}", path.string(), error.message());
  }
  const fs::path home = fs::canonical(dir, error);
  if (error) return fail(Errc::kIo, "{}: {}", dir.string(), error.message());
  // The hub's cache: models--X/snapshots/REVISION/NAME -> ../../blobs/HASH.
  const fs::path blobs = home.parent_path().parent_path() / "blobs";
  if (target.parent_path() != home && target.parent_path() != blobs) {
    return fail(Errc::kContent, "{}: is a link that leads out of the directory, to {}",
                path.string(), printable(target.string()));
  }
  return path;
}

Result<std::string> read_text(const fs::path& path, size_t max_bytes) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fail(code_of(errno), "{}: {}", path.string(), std::strerror(errno));
  struct Closer {
    int fd;
    ~Closer() { ::close(fd); }
  } closer{fd};
  struct stat info {};
  if (::fstat(fd, &info) != 0) {
    return fail(Errc::kIo, "{}: {}", path.string(), std::strerror(errno));
  }
  if (!S_ISREG(info.st_mode)) {
    return fail(Errc::kContent, "{}: is not a regular file", path.string());
  }
  const auto size = static_cast<size_t>(info.st_size);
  if (size > max_bytes) {
    return fail(Errc::kContent, "{}: too large (got {} bytes, allowed {})", path.string(), size,
                max_bytes);
  }
  std::string text(size, '\0');
  MINKE_TRY(read_all(fd, path, text));
  return text;
}

Result<std::optional<std::string>> read_text_if_there(const fs::path& dir, const std::string& name,
                                                      size_t max_bytes) {
  auto path = resolve_in(dir, name);
  if (!path) {
    if (path.error().code == Errc::kMissing) return std::optional<std::string>();
    return tl::unexpected(std::move(path).error());
  }
  MINKE_ASSIGN(std::string text, read_text(*path, max_bytes));
  return std::optional<std::string>(std::move(text));
}

}  // namespace minke::convert
