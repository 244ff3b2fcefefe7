#include "convert/journal.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include "convert/file_text.h"
#include "runtime/input_file.h"

namespace minke::convert {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kFirstWords = "minke-journal 1 ";
constexpr size_t kMaxBytes = 128 << 20;  // a line for each of as many tensors as a file may have

}  // namespace

fs::path Journal::path_for(const fs::path& output) {
  fs::path path = output;
  path += ".partial.journal";
  return path;
}

Result<Journal> Journal::create(const fs::path& output, const Sha256Digest& job) {
  const fs::path path = path_for(output);
  const int fd =
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (fd < 0) return tl::unexpected(io_error(path, errno));
  Journal journal(path, fd);
  MINKE_TRY(journal.append(std::string(kFirstWords) + to_hex(job)));
  return journal;
}

Result<std::vector<Sha256Digest>> Journal::read(const fs::path& output, const Sha256Digest& job) {
  const fs::path path = path_for(output);
  auto text = read_text(path, kMaxBytes);
  if (!text && text.error().code == Errc::kMissing) return std::vector<Sha256Digest>();
  if (!text) return tl::unexpected(std::move(text).error());
  std::vector<Sha256Digest> done;
  std::string_view rest = *text;
  for (bool is_first = true;; is_first = false) {
    // The last line may be cut off, and counts for nothing then.
    const size_t end = rest.find('\n');
    if (end == std::string_view::npos) return done;
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end + 1);
    if (!is_first) {
      const auto digest = sha256_from_hex(line);
      if (!digest) return done;
      done.push_back(*digest);
    } else if (line != std::string(kFirstWords) + to_hex(job)) {
      return fail(Errc::kUsage,
                  "{}: it is of a run with another input, other options or another version of "
                  "Minke (--force without --resume discards it)",
                  printable_path(path));
    }
  }
}

void Journal::remove(const fs::path& output) noexcept {
  std::error_code ignored;
  fs::remove(path_for(output), ignored);
}

Journal::Journal(Journal&& other) noexcept
    : path_(std::move(other.path_)),
      fd_(std::exchange(other.fd_, -1)),
      n_tensors_(other.n_tensors_) {}

Journal& Journal::operator=(Journal&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  std::swap(n_tensors_, other.n_tensors_);
  return *this;
}

Journal::~Journal() {
  if (fd_ >= 0) ::close(fd_);
}

Status Journal::add(const Sha256Digest& digest) {
  MINKE_TRY(append(to_hex(digest)));
  ++n_tensors_;
  return {};
}

Status Journal::append(const std::string& line) {
  const std::string text = line + "\n";
  for (size_t done = 0; done < text.size();) {
    const ssize_t n = ::write(fd_, text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return tl::unexpected(io_error(path_, n < 0 ? errno : EIO));
    done += static_cast<size_t>(n);
  }
  return {};
}

}  // namespace minke::convert
