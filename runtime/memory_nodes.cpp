#include "runtime/memory_nodes.h"

#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <string>
#include <vector>

#include "runtime/processors.h"

namespace minke {
namespace {

constexpr size_t kMaxNodes = 1024;  ///< That Linux can be built for.
constexpr size_t kWordBits = 8 * sizeof(unsigned long);
using NodeMask = std::array<unsigned long, kMaxNodes / kWordBits>;

/// Whether one of these processors is the node's own.
bool has_any(size_t node, const std::vector<int>& processors) {
  const std::filesystem::path files =
      SystemFiles{}.sys / "devices/system/node" / ("node" + std::to_string(node));
  std::error_code ignored;
  for (const int processor : processors)
    if (std::filesystem::exists(files / ("cpu" + std::to_string(processor)), ignored)) return true;
  return false;
}

}  // namespace

SpreadOverNodes::SpreadOverNodes() {
  int policy = MPOL_DEFAULT;
  if (syscall(SYS_get_mempolicy, &policy, nullptr, 0UL, nullptr, 0UL) != 0 ||
      policy != MPOL_DEFAULT)
    return;
  NodeMask nodes{};
  if (syscall(SYS_get_mempolicy, nullptr, nodes.data(), kMaxNodes, nullptr,
              static_cast<unsigned long>(MPOL_F_MEMS_ALLOWED)) != 0)
    return;
  // Of a process that is kept to one node's processors all memory should be near.
  const std::vector<int> processors = allowed_processors();
  int n_nodes = 0;
  for (size_t node = 0; node < kMaxNodes; ++node) {
    unsigned long& word = nodes[node / kWordBits];
    const unsigned long bit = 1UL << node % kWordBits;
    if ((word & bit) == 0) continue;
    if (has_any(node, processors))
      ++n_nodes;
    else
      word &= ~bit;
  }
  if (n_nodes < 2) return;
  active_ = syscall(SYS_set_mempolicy, MPOL_INTERLEAVE, nodes.data(), kMaxNodes) == 0;
}

SpreadOverNodes::~SpreadOverNodes() {
  if (active_) (void)syscall(SYS_set_mempolicy, MPOL_DEFAULT, nullptr, 0UL);
}

}  // namespace minke
