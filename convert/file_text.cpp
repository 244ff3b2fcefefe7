#include "convert/file_text.h"

#include <span>
#include <system_error>

#include "runtime/input_file.h"
#include "runtime/utf8.h"

namespace minke::convert {
namespace {

namespace fs = std::filesystem;

bool is_plain_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.size() <= 255 &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos;
}

}  // namespace

Result<fs::path> resolve_in(const fs::path& dir, const std::string& name) {
  const fs::path path = dir / name;
  if (!is_plain_name(name)) {
    return fail(Errc::kContent, "{}: '{}' is not a plain file name", printable_path(dir),
                printable(name));
  }
  std::error_code error;
  const fs::path target = fs::canonical(path, error);
  if (error) return tl::unexpected(io_error(path, error.value()));
  const fs::path home = fs::canonical(dir, error);
  if (error) return tl::unexpected(io_error(dir, error.value()));
  // The hub's cache: models--X/snapshots/REVISION/NAME -> ../../blobs/HASH.
  const fs::path blobs = home.parent_path().parent_path() / "blobs";
  if (target.parent_path() != home && target.parent_path() != blobs) {
    return fail(Errc::kContent, "{}: is a link that leads out of the directory, to {}",
                printable_path(path), printable(target.string()));
  }
  return path;
}

Result<std::string> read_text(const fs::path& path, size_t max_bytes) {
  MINKE_ASSIGN(const InputFile file, InputFile::open(path));
  if (file.size_bytes() > max_bytes) {
    return fail(Errc::kContent, "{}: too large (got {} bytes, allowed {})", printable_path(path),
                file.size_bytes(), max_bytes);
  }
  std::string text(file.size_bytes(), '\0');
  MINKE_TRY(file.read_at(0, std::as_writable_bytes(std::span(text))));
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
