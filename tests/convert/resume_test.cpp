// Conversions that are cut off and go on.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <random>
#include <string>

#include "convert/journal.h"
#include "tests/convert/convert_support.h"

using namespace minke;
using namespace minke::convert;
using minke::test::TinyModel;
namespace fs = std::filesystem;

namespace {

using Start = Conversion::Start;

Status run(const fs::path& dir, Start start, const ProgressCallback& progress = nullptr,
           const char* recipe = "Q4_K_M") {
  MINKE_ASSIGN(const auto conversion, Conversion::prepare(dir / "m", *find_recipe(recipe)));
  return conversion.run(dir / "m.gguf", 2, progress, start);
}

void require(const Status& status) {
  REQUIRE_MESSAGE(status.has_value(), (status ? "" : status.error().message));
}

/// Runs in a child process; gives its wait status.
template <class Body>
int in_child(Body body) {
  const pid_t pid = fork();
  REQUIRE(pid >= 0);
  if (pid == 0) _exit(body());
  int status = 0;
  REQUIRE(waitpid(pid, &status, 0) == pid);
  return status;
}

/// A run that is killed once `n` bytes of the source are done; false if it ended before.
bool killed_at(const fs::path& dir, uint64_t n, Start start) {
  const int status = in_child([&] {
    const Status ran = run(dir, start, [n](const Progress& p) {
      if (p.bytes_done >= n) raise(SIGKILL);
      return true;
    });
    return ran ? 0 : 1;
  });
  return WIFSIGNALED(status);
}

struct Files {
  explicit Files(const fs::path& path) : dir(path) {
    TinyModel().write(dir / "m");
    require(run(dir, Start::kAnew));
    expected = test::read_file(dir / "m.gguf");
    fs::remove(dir / "m.gguf");
  }
  void check_finished() const {
    CHECK(test::read_file(dir / "m.gguf") == expected);
    CHECK(std::distance(fs::directory_iterator(dir), {}) == 2);
  }
  fs::path dir;
  std::string expected;
};

}  // namespace

TEST_CASE("100 kills at random moments, each resumed, give 100 identical files") {
  const test::TempDir dir;
  const Files files(dir.path());
  std::mt19937 random(3);
  const uint64_t n_bytes = fs::file_size(dir / "m/model.safetensors");
  for (int i = 0; i < 100; ++i) {
    CAPTURE(i);
    CHECK(killed_at(dir.path(), random() % n_bytes, Start::kAnew));
    CHECK_FALSE(fs::exists(dir / "m.gguf"));
    // Some are killed again while they resume, if that takes long enough.
    const bool again =
        i % 4 != 0 || killed_at(dir.path(), random() % (n_bytes / 2), Start::kResume);
    CHECK(fs::exists(dir / "m.gguf") != again);
    if (again) require(run(dir.path(), Start::kResume));
    files.check_finished();
    fs::remove(dir / "m.gguf");
  }
}

TEST_CASE("a resumed run does not do again what was done") {
  const test::TempDir dir;
  const Files files(dir.path());
  const uint64_t n_bytes = fs::file_size(dir / "m/model.safetensors");
  REQUIRE(killed_at(dir.path(), n_bytes * 6 / 10, Start::kAnew));
  uint64_t total = 0;
  require(run(dir.path(), Start::kResume, [&](const Progress& p) {
    total = p.bytes_total;
    return true;
  }));
  CHECK(total > 0);
  CHECK(total < n_bytes * 6 / 10);
  files.check_finished();
}

TEST_CASE("data that are not what the journal says are written again") {
  const test::TempDir dir;
  const Files files(dir.path());
  const uint64_t n_bytes = fs::file_size(dir / "m/model.safetensors");
  const auto partial = dir / "m.gguf.partial", journal = dir / "m.gguf.partial.journal";
  const auto damaged = [&](const std::function<void()>& damage) {
    REQUIRE(killed_at(dir.path(), n_bytes * 8 / 10, Start::kAnew));
    damage();
    require(run(dir.path(), Start::kResume));
    files.check_finished();
    fs::remove(dir / "m.gguf");
  };
  damaged([&] { fs::resize_file(partial, fs::file_size(partial) / 3); });
  damaged([&] { fs::resize_file(partial, 5); });
  damaged([&] { fs::remove(partial); });
  damaged([&] { fs::remove(journal); });
  damaged([&] { fs::resize_file(journal, fs::file_size(journal) - 7); });
  damaged([&] { fs::resize_file(journal, 90); });
  damaged([&] {
    std::string bytes = test::read_file(partial);
    for (size_t at = 0; at < bytes.size(); at += bytes.size() / 20) bytes[at] ^= 1;
    test::write_file(partial, bytes);
  });
  // Without anything to resume, it is a run like any other.
  require(run(dir.path(), Start::kResume));
  files.check_finished();
}

TEST_CASE("another job is not resumed, and what is there stays") {
  const test::TempDir dir;
  const Files files(dir.path());
  const uint64_t n_bytes = fs::file_size(dir / "m/model.safetensors");
  REQUIRE(killed_at(dir.path(), n_bytes / 2, Start::kAnew));
  const Status other_type = run(dir.path(), Start::kResume, nullptr, "Q8_0");
  REQUIRE_FALSE(other_type);
  CHECK(other_type.error().code == Errc::kUsage);
  CHECK(other_type.error().message.find("--resume") != std::string::npos);
  CHECK(fs::exists(dir / "m.gguf.partial"));
  require(run(dir.path(), Start::kResume));
  files.check_finished();

  fs::remove(dir / "m.gguf");
  REQUIRE(killed_at(dir.path(), n_bytes / 2, Start::kAnew));
  const auto weights = dir / "m/model.safetensors";
  fs::last_write_time(weights, fs::last_write_time(weights) + std::chrono::seconds(1));
  CHECK(run(dir.path(), Start::kResume).error().code == Errc::kUsage);
  require(run(dir.path(), Start::kAnew));
  files.check_finished();
}

TEST_CASE("an interruption and a full disk leave what can be resumed, a bad source does not") {
  const test::TempDir dir;
  const Files files(dir.path());
  const auto stop = [](const Progress& p) { return p.bytes_done < p.bytes_total * 6 / 10; };
  CHECK(run(dir.path(), Start::kAnew, stop).error().code == Errc::kCancelled);
  CHECK(fs::exists(dir / "m.gguf.partial"));
  require(run(dir.path(), Start::kResume));
  files.check_finished();

  fs::remove(dir / "m.gguf");
  const int status = in_child([&] {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{400 << 10, 400 << 10};
    setrlimit(RLIMIT_FSIZE, &limit);
    const Status ran = run(dir.path(), Start::kAnew);
    return !ran && ran.error().code == Errc::kIo ? 42 : 1;
  });
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 42);
  CHECK_FALSE(fs::exists(dir / "m.gguf"));
  require(run(dir.path(), Start::kResume));
  files.check_finished();

  fs::remove(dir / "m.gguf");
  bool done = false;
  const Status changed = run(dir.path(), Start::kAnew, [&](const Progress& p) {
    if (p.bytes_done > p.bytes_total * 6 / 10 && !done) {
      fs::resize_file(dir / "m/model.safetensors", fs::file_size(dir / "m/model.safetensors") + 1);
      done = true;
    }
    return true;
  });
  CHECK(changed.error().code == Errc::kIo);
  CHECK(std::distance(fs::directory_iterator(dir.path()), {}) == 1);
}
