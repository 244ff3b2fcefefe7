#include "backends/cpu/cpu_plan.h"

#include <omp.h>

#include <algorithm>

#include "runtime/memory_plan.h"

namespace minke::cpu {
namespace {

constexpr size_t kMaxInputs = 5;

ScheduleRules rules_for(const Graph& graph) {
  return {
      .wants_converted =
          [&graph](const Node& node) {
            const CpuOp& op = cpu_op(node.op);
            return op.wants_quantized != nullptr && op.wants_quantized(graph, node);
          },
      .converts_output = [](const Node& node) { return cpu_op(node.op).quantizes_output; },
      .uses_scratch = [](const Node& node) { return cpu_op(node.op).scratch_bytes != nullptr; }};
}

int max_rows(const ValueInfo& info) { return static_cast<int>(info.desc.shape.rows()); }

}  // namespace

Result<std::unique_ptr<Plan>> CpuPlan::compile(const Graph& graph, const Setup& setup,
                                               Backend& backend) {
  std::unique_ptr<CpuPlan> plan(new CpuPlan(graph, setup));
  for (const Node& node : graph.nodes())
    MINKE_CHECK(node.inputs.size() <= kMaxInputs, "{}", node.name);
  plan->schedule_ = make_schedule(graph, rules_for(graph));
  plan->places_.resize(graph.values().size());
  for (const Node& node : graph.nodes()) {
    const CpuOp& op = cpu_op(node.op);
    if (op.wants_rests != nullptr && op.wants_rests(graph, node))
      plan->places_[static_cast<size_t>(node.inputs[0].id)].rests = Rests::kYes;
  }
  MINKE_TRY(plan->place_memory(backend));
  return plan;
}

Status CpuPlan::place_memory(Backend& backend) {
  const size_t n_values = graph_->values().size();
  std::vector<Lifetime> lifetimes(2 * n_values);  // the values, then their quantized rows
  for (size_t i = 0; i < n_values; ++i) {
    const ValueInfo& info = graph_->values()[i];
    const Life &plain = schedule_.values[i], &quantized = schedule_.converted[i];
    // An observer reads what was quantized, too.
    const int last = setup_.observer ? std::max(plain.last, quantized.last) : plain.last;
    if (plain.used()) lifetimes[i] = {plain.first, last, info.desc.bytes()};
    if (quantized.used())
      lifetimes[n_values + i] = {
          quantized.first, quantized.last,
          quantized_rows_bytes(max_rows(info), static_cast<int>(info.desc.shape.cols()),
                               places_[i].rests)};
  }
  size_t shared = 0, own = 0;
  for (const Node& node : graph_->nodes()) {
    const CpuOp& op = cpu_op(node.op);
    if (op.scratch_bytes != nullptr) shared = std::max(shared, op.scratch_bytes(*graph_, node));
    if (op.worker_bytes != nullptr) own = std::max(own, op.worker_bytes(*graph_, node));
  }
  const MemoryPlan memory = plan_memory(lifetimes);
  worker_bytes_ = aligned64(own + kMatmulScratchBytes);
  arena_bytes_ = memory.arena_bytes + aligned64(shared) +
                 worker_bytes_ * static_cast<size_t>(setup_.n_threads);
  MINKE_ASSIGN(arena_, backend.allocate(arena_bytes_));
  std::byte* base = arena_->host().data();
  for (size_t i = 0; i < n_values; ++i) {
    if (schedule_.values[i].used()) places_[i].data = base + memory.offsets[i];
    if (schedule_.converted[i].used()) places_[i].quantized = base + memory.offsets[n_values + i];
  }
  shared_scratch_ = base + memory.arena_bytes;
  worker_scratch_ = shared_scratch_ + aligned64(shared);
  return {};
}

Operand CpuPlan::operand(Value v, const Step& step) const noexcept {
  const ValueInfo& info = graph_->info(v);
  Operand operand{.info = &info, .rows = step.rows(info)};
  if (info.kind == ValueKind::kWeight) {
    operand.data = info.weight;
  } else if (info.kind == ValueKind::kInput) {
    operand.data = step.input(info.input).data();
  } else {
    const Place& place = places_[static_cast<size_t>(v.id)];
    operand.data = place.data;
    if (place.quantized != nullptr)
      // As many rows as this step has, so that rests come right behind them.
      operand.quantized =
          quantized_rows_at(place.quantized, operand.rows, operand.cols(), place.rests);
  }
  return operand;
}

void CpuPlan::run_worker(const Step& step, Worker& worker) noexcept {
  const auto n_tasks = static_cast<double>(schedule_.tasks.size());
  double n_done = 0;
  for (const Task& task : schedule_.tasks) {
    worker.set_part_done(n_done++ / n_tasks);
    if (task.barrier_before) worker.barrier();
    const Operand out = operand(task.node->output, step);
    if (task.convert_output) {
      worker.parallel_for(out.rows, [&](int r) {
        worker.kernels().quantize_rows(out.row(r), 0, 1, out.quantized, r);
      });
      continue;
    }
    Operand inputs[kMaxInputs];
    const size_t n_inputs = task.node->inputs.size();
    for (size_t i = 0; i < n_inputs; ++i) inputs[i] = operand(task.node->inputs[i], step);
    cpu_op(task.node->op)
        .run({task.node,
              {inputs, n_inputs},
              out,
              &step,
              shared_scratch_,
              setup_.mla_form,
              setup_.observer ? &setup_.observer : nullptr},
             worker);
  }
}

Result<std::span<const float>> CpuPlan::run(const Step& step) {
  team_.reset(setup_.n_threads);
#pragma omp parallel num_threads(setup_.n_threads)
  {
    MINKE_CHECK(omp_get_num_threads() == setup_.n_threads, "{}", omp_get_num_threads());
    const int index = omp_get_thread_num();
    // Within a region of one thread oneDNN would otherwise start a team of its own.
    omp_set_num_threads(1);
    Worker worker(team_, index, *setup_.kernels,
                  worker_scratch_ + static_cast<size_t>(index) * worker_bytes_,
                  index == 0 ? step.watch : nullptr);
    run_worker(step, worker);
  }
  if (team_.stopped()) return fail(Errc::kCancelled, "the step was stopped");
  const Operand out = operand(graph_->output(), step);
  return std::span<const float>(out.f32(),
                                static_cast<size_t>(out.rows) * static_cast<size_t>(out.cols()));
}

}  // namespace minke::cpu
