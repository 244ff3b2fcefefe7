// Machines whose processors have memory of their own each (NUMA: most have several sockets).
#pragma once

namespace minke {

/// While one lives, new pages that the calling thread touches first, also those of files that it
/// reads, are dealt out in turns to the memory nodes of all processors that this process may run
/// on: its threads will read them all. Does nothing where these are of one node, where a memory
/// policy was chosen before (numactl --membind and the like), or where the system does not allow
/// it.
class SpreadOverNodes {
 public:
  SpreadOverNodes();
  ~SpreadOverNodes();
  SpreadOverNodes(const SpreadOverNodes&) = delete;
  SpreadOverNodes& operator=(const SpreadOverNodes&) = delete;

 private:
  bool active_ = false;
};

}  // namespace minke
