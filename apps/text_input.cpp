#include "apps/text_input.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>

#include "runtime/input_file.h"
#include "runtime/utf8.h"

namespace minke::apps {
namespace {

std::string reason_of(int error) { return std::generic_category().message(error); }

Result<std::string> read_all(int fd, const std::string& name, size_t max_bytes) {
  std::string bytes;
  std::array<char, 1 << 16> chunk;
  while (true) {
    const ssize_t n = read(fd, chunk.data(), chunk.size());
    if (n == 0) return bytes;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(Errc::kIo, "{}: cannot read: {}", name, reason_of(errno));
    bytes.append(chunk.data(), static_cast<size_t>(n));
    if (bytes.size() > max_bytes)
      return fail(Errc::kContent, "{}: too long (more than {} bytes)", name, max_bytes);
  }
}

Result<std::string> check_text(std::string text, const std::string& name) {
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  for (size_t at = 0; at < text.size();) {
    const size_t length = utf8_char_length(std::string_view(text).substr(at));
    if (length == 0) return fail(Errc::kContent, "{}: offset {:#x}: not UTF-8 text", name, at);
    at += length;
  }
  if (text.starts_with(kByteOrderMark)) text.erase(0, kByteOrderMark.size());
  if (text.ends_with('\n')) text.pop_back();
  if (text.ends_with('\r')) text.pop_back();
  return text;
}

}  // namespace

Result<std::string> read_bytes(const std::filesystem::path& path, size_t max_bytes) {
  const std::string name = printable_path(path);
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    const bool missing = errno == ENOENT || errno == ENOTDIR;
    return fail(missing ? Errc::kMissing : Errc::kIo, "{}: cannot open: {}", name,
                reason_of(errno));
  }
  auto bytes = read_all(fd, name, max_bytes);
  close(fd);
  return bytes;
}

Result<std::string> read_text_file(const std::filesystem::path& path) {
  MINKE_ASSIGN(std::string bytes, read_bytes(path, kMaxTextBytes));
  return check_text(std::move(bytes), printable_path(path));
}

Result<std::string> read_stdin() {
  MINKE_ASSIGN(std::string bytes, read_all(STDIN_FILENO, "standard input", kMaxTextBytes));
  return check_text(std::move(bytes), "standard input");
}

}  // namespace minke::apps
