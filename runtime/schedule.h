// The order in which a backend runs a graph: tasks, where they must wait for each other, and how
// long every value lives. What lies between two barriers may run at the same time.
#pragma once

#include <functional>
#include <vector>

#include "runtime/graph.h"

namespace minke {

/// What a schedule must know of a backend's kernels.
struct ScheduleRules {
  /// The node reads its first input in the backend's own form (for the CPU: rows of 8-bit values).
  std::function<bool(const Node&)> wants_converted;
  /// The node's kernel writes that form of its output itself.
  std::function<bool(const Node&)> converts_output;
  /// The node's kernel uses memory that all nodes share.
  std::function<bool(const Node&)> uses_scratch;
};

/// One thing to run: a node, or the conversion of the value that a node made.
struct Task {
  const Node* node;
  bool convert_output = false;
  bool barrier_before = false;
};

/// First and last phase in which a value is in use. Phases are what barriers separate; -1: never.
struct Life {
  int first = -1, last = -1;

  bool used() const noexcept { return first >= 0; }
  void extend_to(int phase) noexcept {
    if (first < 0) first = phase;
    last = phase;
  }
};

struct Schedule {
  std::vector<Task> tasks;
  std::vector<Life> values;     ///< One a value of the graph; only temporaries have one.
  std::vector<Life> converted;  ///< The same for their converted form.
};

/// The graph outlives the schedule. The graph's output lives to the end.
Schedule make_schedule(const Graph& graph, const ScheduleRules& rules);

}  // namespace minke
