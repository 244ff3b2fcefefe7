#include "runtime/memory_nodes.h"

#include <doctest/doctest.h>
#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <set>

#include "runtime/processors.h"

using namespace minke;

namespace {

struct Policy {
  int mode = -1;
  std::set<size_t> nodes;
};

Policy policy_now() {
  Policy policy;
  std::array<unsigned long, 16> mask{};
  REQUIRE(syscall(SYS_get_mempolicy, &policy.mode, mask.data(), 1024UL, nullptr, 0UL) == 0);
  for (size_t node = 0; node < 1024; ++node)
    if ((mask[node / 64] >> node % 64 & 1) != 0) policy.nodes.insert(node);
  return policy;
}

bool set_policy(int mode) { return syscall(SYS_set_mempolicy, mode, nullptr, 0UL) == 0; }

/// Whether this process may choose a policy and has not.
bool may_choose() {
  if (set_policy(MPOL_DEFAULT)) return true;
  MESSAGE("SKIPPED: this system does not allow to choose a memory policy");
  return false;
}

/// Nodes of the processors that this process may run on.
std::set<size_t> own_nodes() {
  std::set<size_t> nodes;
  for (const int processor : allowed_processors())
    for (size_t node = 0; node < 64; ++node)
      if (std::filesystem::exists("/sys/devices/system/node/node" + std::to_string(node) + "/cpu" +
                                  std::to_string(processor)))
        nodes.insert(node);
  return nodes;
}

}  // namespace

TEST_CASE("memory nodes: pages are dealt out to the nodes of all processors, for a while") {
  if (!may_choose()) return;
  const std::set<size_t> nodes = own_nodes();
  {
    const SpreadOverNodes spread;
    const Policy policy = policy_now();
    if (nodes.size() > 1) {
      CHECK(policy.mode == MPOL_INTERLEAVE);
      CHECK(policy.nodes == nodes);
    } else {
      CHECK(policy.mode == MPOL_DEFAULT);
      MESSAGE("SKIPPED in part: this machine has one memory node");
    }
  }
  CHECK(policy_now().mode == MPOL_DEFAULT);
}

TEST_CASE("memory nodes: the user's own policy stays") {
  if (!may_choose() || !set_policy(MPOL_LOCAL)) return;
  const int own = policy_now().mode;  // Old systems call it another name.
  CHECK(own != MPOL_DEFAULT);
  {
    const SpreadOverNodes spread;
    CHECK(policy_now().mode == own);
  }
  CHECK(policy_now().mode == own);
  CHECK(set_policy(MPOL_DEFAULT));
}
