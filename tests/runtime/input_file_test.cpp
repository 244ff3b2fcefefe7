#include "runtime/input_file.h"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <string>

#include "tests/support.h"

using namespace minke;
using namespace minke::test;

namespace {

/// Leaves the file of a socket at `path`.
void make_socket(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  REQUIRE(path.string().size() < sizeof address.sun_path);
  std::strcpy(address.sun_path, path.c_str());
  const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  REQUIRE(fd >= 0);
  REQUIRE(bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  close(fd);
}

}  // namespace

TEST_CASE("input file: what is not a file is refused at once, a pipe without a writer too") {
  const TempDir dir;
  REQUIRE(mkfifo((dir / "pipe").c_str(), 0600) == 0);
  make_socket(dir / "socket");
  const std::pair<std::filesystem::path, const char*> cases[] = {
      {dir / "pipe", "is a pipe, not a file"},
      {dir / "socket", "is a socket, not a file"},
      {"/dev/null", "is a device, not a file"},
      {dir.path(), "is a directory, not a file"},
  };
  for (const auto& [path, reason] : cases) {
    const auto file = InputFile::open(path);
    REQUIRE_FALSE(file);
    CHECK(file.error().code == Errc::kIo);
    CHECK(file.error().message == path.string() + ": " + reason);
  }
  CHECK(InputFile::open(dir / "none").error().code == Errc::kMissing);
  CHECK(InputFile::open("").error().code == Errc::kMissing);
}

TEST_CASE("input file: reads from any offset, and tells when the file is cut or changed") {
  const TempDir dir;
  write_file(dir / "a", "0123456789");
  auto opened = InputFile::open(dir / "a");
  REQUIRE(opened);
  const InputFile file = std::move(*opened);
  CHECK(file.size_bytes() == 10);
  std::array<char, 4> text{};
  const auto bytes = std::as_writable_bytes(std::span(text));
  REQUIRE(file.read_at(3, bytes));
  CHECK(std::string_view(text.data(), 4) == "3456");
  CHECK(file.check_unchanged());

  const Status beyond = file.read_at(8, bytes);
  REQUIRE_FALSE(beyond);
  CHECK(beyond.error().code == Errc::kIo);
  CHECK(beyond.error().message.find("became shorter") != std::string::npos);
  write_file(dir / "a", "01234");
  CHECK(file.check_unchanged().error().code == Errc::kIo);
}
