#include "runtime/schedule.h"

#include <set>

namespace minke {
namespace {

size_t index_of(Value v) noexcept { return static_cast<size_t>(v.id); }

std::vector<bool> find_converted(const Graph& graph, const ScheduleRules& rules) {
  std::vector<bool> converted(graph.values().size());
  for (const Node& node : graph.nodes())
    if (rules.wants_converted(node)) converted[index_of(node.inputs[0])] = true;
  return converted;
}

/// A task waits for all others where it reads what one since the last barrier wrote, or where both
/// use the shared scratch.
void mark_barriers(std::vector<Task>& tasks, const ScheduleRules& rules) {
  std::set<int> fresh;  // values written since the last barrier
  bool scratch_used = false;
  for (Task& task : tasks) {
    const bool scratch = !task.convert_output && rules.uses_scratch(*task.node);
    if (task.convert_output)
      task.barrier_before = fresh.contains(task.node->output.id);
    else
      for (const Value v : task.node->inputs) task.barrier_before |= fresh.contains(v.id);
    task.barrier_before |= scratch && scratch_used;
    if (task.barrier_before) {
      fresh.clear();
      scratch_used = false;
    }
    fresh.insert(task.node->output.id);
    scratch_used |= scratch;
  }
}

}  // namespace

Schedule make_schedule(const Graph& graph, const ScheduleRules& rules) {
  const std::vector<bool> converted = find_converted(graph, rules);
  Schedule schedule;
  for (const Node& node : graph.nodes()) {
    schedule.tasks.push_back({&node});
    if (converted[index_of(node.output)] && !rules.converts_output(node))
      schedule.tasks.push_back({&node, true});
  }
  mark_barriers(schedule.tasks, rules);

  schedule.values.resize(graph.values().size());
  schedule.converted.resize(graph.values().size());
  int phase = 0;
  for (const Task& task : schedule.tasks) {
    phase += task.barrier_before ? 1 : 0;
    const size_t out = index_of(task.node->output);
    schedule.values[out].extend_to(phase);
    if (converted[out]) schedule.converted[out].extend_to(phase);
    if (task.convert_output) continue;
    for (const Value v : task.node->inputs)
      if (graph.info(v).kind == ValueKind::kTemp) schedule.values[index_of(v)].extend_to(phase);
    if (rules.wants_converted(*task.node))
      schedule.converted[index_of(task.node->inputs[0])].extend_to(phase);
  }
  schedule.values[index_of(graph.output())].extend_to(phase + 1);
  return schedule;
}

}  // namespace minke
