#include "runtime/schedule.h"

#include <doctest/doctest.h>

#include <array>

using namespace minke;

namespace {

const ScheduleRules kPlain = {[](const Node&) { return false; }, [](const Node&) { return false; },
                              [](const Node&) { return false; }};

struct Mlp {
  std::array<float, 64> data{};
  Graph graph{4, 4};

  Mlp() {
    const auto* bytes = reinterpret_cast<const std::byte*>(data.data());
    const Value w = graph.weight("w", {DType::kF32, Shape{8, 8}}, bytes);
    const Value x = graph.get_rows(w, graph.input(StepInput::kTokens));
    const Value gate = graph.matmul(x, w), up = graph.matmul(x, w);
    const Value out = graph.add(x, graph.matmul(graph.swiglu(gate, up), w));
    REQUIRE(graph.finish(out));
  }
};

}  // namespace

TEST_CASE("tasks wait only for what they read") {
  const Mlp mlp;
  const Schedule schedule = make_schedule(mlp.graph, kPlain);
  std::string order;
  for (const Task& task : schedule.tasks)
    order += fmt::format("{}{} ", task.barrier_before ? "| " : "", op_name(task.node->op));
  CHECK(order == "get_rows | matmul matmul | swiglu | matmul | add ");
}

TEST_CASE("a value lives until it is read last, the result to the end") {
  const Mlp mlp;
  const Schedule schedule = make_schedule(mlp.graph, kPlain);
  const auto life = [&](size_t node) {
    return schedule.values[static_cast<size_t>(mlp.graph.nodes()[node].output.id)];
  };
  CHECK(life(0).first == 0);
  CHECK(life(0).last == 4);  // x is added at the end
  CHECK(life(1).first == 1);
  CHECK(life(1).last == 2);
  CHECK(life(5).last == 5);
}

TEST_CASE("a value is converted once for all that want it, before they run") {
  const Mlp mlp;
  ScheduleRules rules = kPlain;
  rules.wants_converted = [](const Node& node) { return node.op == Op::kMatmul; };
  rules.converts_output = [](const Node& node) { return node.op == Op::kSwiglu; };
  const Schedule schedule = make_schedule(mlp.graph, rules);
  std::string order;
  for (const Task& task : schedule.tasks)
    order += fmt::format("{}{} ", task.barrier_before ? "| " : "",
                         task.convert_output ? "convert" : op_name(task.node->op));
  CHECK(order == "get_rows | convert | matmul matmul | swiglu | matmul | add ");
  const auto x = static_cast<size_t>(mlp.graph.nodes()[0].output.id);
  CHECK(schedule.converted[x].first == 0);
  CHECK(schedule.converted[x].last == 2);
}

TEST_CASE("two users of the scratch are kept apart") {
  const Mlp mlp;
  ScheduleRules rules = kPlain;
  rules.uses_scratch = [](const Node& node) { return node.op == Op::kMatmul; };
  const Schedule schedule = make_schedule(mlp.graph, rules);
  CHECK(schedule.tasks[2].barrier_before);
}
