#include "runtime/processors.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "tests/support.h"

using namespace minke;
namespace fs = std::filesystem;

namespace {

/// A tree of files like Linux's.
class Machine {
 public:
  const SystemFiles& files() const { return files_; }
  void write(const std::string& path, const std::string& text) {
    const fs::path whole = dir_ / path;
    fs::create_directories(whole.parent_path());
    test::write_file(whole, text);
  }
  /// Logical processors first, first + step ... share a core.
  void add_core(const std::vector<int>& processors, const std::string& list,
                const char* name = "core_cpus_list") {
    for (const int p : processors)
      write("sys/devices/system/cpu/cpu" + std::to_string(p) + "/topology/" + name, list + "\n");
  }
  void be_in(const std::string& groups) { write("proc/self/cgroup", groups); }
  int cores(const std::vector<int>& allowed) const { return count_cores(files_, allowed); }
  double quota() const { return processor_quota(files_); }

 private:
  test::TempDir dir_;
  SystemFiles files_{dir_ / "proc", dir_ / "sys"};
};

std::vector<int> first(int n) {
  std::vector<int> all(static_cast<size_t>(n));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

}  // namespace

TEST_CASE("cores: each counts once, however many logical processors it has") {
  for (const int n : {2, 8, 16}) {
    Machine plain, threaded;
    for (int i = 0; i < n; ++i) {
      plain.add_core({i}, std::to_string(i));
      threaded.add_core({i, i + n}, std::to_string(i) + "," + std::to_string(i + n));
    }
    CHECK(plain.cores(first(n)) == n);
    CHECK(threaded.cores(first(2 * n)) == n);
    // Only one half of each, or both halves of one.
    CHECK(threaded.cores(first(n)) == n);
    CHECK(threaded.cores({0, n}) == 1);
  }
}

TEST_CASE("cores: fast and slow ones of a hybrid processor") {
  // 6 fast cores of two logical processors each, then 8 slow ones.
  Machine hybrid;
  for (int i = 0; i < 12; i += 2)
    hybrid.add_core({i, i + 1}, std::to_string(i) + "-" + std::to_string(i + 1));
  for (int i = 12; i < 20; ++i) hybrid.add_core({i}, std::to_string(i));
  CHECK(hybrid.cores(first(20)) == 14);
  CHECK(hybrid.cores(first(12)) == 6);
}

TEST_CASE("cores: older names, and none at all") {
  Machine old;
  old.add_core({0, 1}, "0-1", "thread_siblings_list");
  old.add_core({2, 3}, "2-3", "thread_siblings_list");
  CHECK(old.cores(first(4)) == 2);
  CHECK(old.cores({0, 2, 7}) == 3);
  CHECK(Machine().cores(first(4)) == 4);
  CHECK(Machine().cores({}) == 0);
}

TEST_CASE("quota: none where nothing is said, or no limit") {
  Machine m;
  CHECK(std::isinf(m.quota()));
  m.be_in("0::/user.slice\n");
  CHECK(std::isinf(m.quota()));
  m.write("sys/fs/cgroup/user.slice/cpu.max", "max 100000\n");
  CHECK(std::isinf(m.quota()));
  m.write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  m.write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  CHECK(std::isinf(m.quota()));
  m.write("sys/fs/cgroup/user.slice/cpu.max", "nonsense");
  m.be_in("nonsense\n0\n::\n");
  CHECK(std::isinf(m.quota()));
}

TEST_CASE("quota: control groups of version 2, the lowest on the way up") {
  Machine container;  // It sees its own group as the root.
  container.be_in("0::/\n");
  container.write("sys/fs/cgroup/cpu.max", "250000 100000\n");
  CHECK(container.quota() == doctest::Approx(2.5));

  Machine service;
  service.be_in("0::/system.slice/minke.service\n");
  service.write("sys/fs/cgroup/system.slice/cpu.max", "800000 100000\n");
  service.write("sys/fs/cgroup/system.slice/minke.service/cpu.max", "max 100000\n");
  CHECK(service.quota() == doctest::Approx(8));
  service.write("sys/fs/cgroup/system.slice/minke.service/cpu.max", "150000 50000\n");
  CHECK(service.quota() == doctest::Approx(3));
  // Another group's quota does not count, nor what lies outside.
  service.write("sys/fs/cgroup/system.slice/other.service/cpu.max", "10000 100000\n");
  service.write("sys/fs/cpu.max", "10000 100000\n");
  service.be_in("0::/system.slice/../../minke.service\n");
  CHECK(service.quota() == doctest::Approx(8));
}

TEST_CASE("quota: control groups of version 1, under either name of the hierarchy") {
  const std::string groups = "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n0::/\n";
  for (const std::string hierarchy : {"cpu", "cpu,cpuacct"}) {
    Machine host;
    host.be_in(groups);
    const std::string base = "sys/fs/cgroup/" + hierarchy + "/docker/";
    host.write(base + "abc/cpu.cfs_quota_us", "400000\n");
    host.write(base + "abc/cpu.cfs_period_us", "100000\n");
    CHECK(host.quota() == doctest::Approx(4));
    host.write(base + "cpu.cfs_quota_us", "50000\n");
    host.write(base + "cpu.cfs_period_us", "100000\n");
    CHECK(host.quota() == doctest::Approx(0.5));
  }
  // A container whose group is mounted as the root, under the host's path.
  Machine container;
  container.be_in(groups);
  container.write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "200000\n");
  container.write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  CHECK(container.quota() == doctest::Approx(2));
  // cpuacct and cpuset are not cpu.
  Machine other;
  other.be_in("3:cpuset,cpuacct:/docker/abc\n");
  other.write("sys/fs/cgroup/cpuset,cpuacct/docker/abc/cpu.cfs_quota_us", "100000\n");
  other.write("sys/fs/cgroup/cpuset,cpuacct/docker/abc/cpu.cfs_period_us", "100000\n");
  CHECK(std::isinf(other.quota()));
}

TEST_CASE("this machine has cores that can be used") {
  const std::vector<int> allowed = allowed_processors();
  CHECK(!allowed.empty());
  CHECK(std::ranges::is_sorted(allowed));
  CHECK(usable_cores() >= 1);
  CHECK(usable_cores() <= static_cast<int>(allowed.size()));
}
