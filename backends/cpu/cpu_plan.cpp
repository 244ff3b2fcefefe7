#include "backends/cpu/cpu_plan.h"

#include <omp.h>

#include <algorithm>
#include <set>

#include "runtime/memory_plan.h"

namespace minke::cpu {
namespace {

constexpr size_t kMaxInputs = 5;

int max_rows(const ValueInfo& info) { return static_cast<int>(info.desc.shape.rows()); }

}  // namespace

Result<std::unique_ptr<Plan>> CpuPlan::compile(const Graph& graph, const Setup& setup,
                                               Backend& backend) {
  std::unique_ptr<CpuPlan> plan(new CpuPlan(graph, setup));
  plan->list_tasks();
  plan->mark_barriers();
  MINKE_TRY(plan->place_memory(backend));
  return plan;
}

void CpuPlan::list_tasks() {
  quantized_.resize(graph_->values().size());
  for (const Node& node : graph_->nodes()) {
    MINKE_CHECK(node.inputs.size() <= kMaxInputs, "{}", node.name);
    const CpuOp& op = cpu_op(node.op);
    if (op.wants_quantized != nullptr && op.wants_quantized(*graph_, node))
      quantized_[static_cast<size_t>(node.inputs[0].id)] = true;
  }
  for (const Node& node : graph_->nodes()) {
    tasks_.push_back({&node});
    if (quantized_[static_cast<size_t>(node.output.id)] && !cpu_op(node.op).quantizes_output)
      tasks_.push_back({&node, true});
  }
}

/// A task waits for all workers where it reads what a task since the last barrier wrote, or where
/// both use the shared scratch.
void CpuPlan::mark_barriers() {
  std::set<int> fresh;  // values written since the last barrier
  bool scratch_used = false;
  for (Task& task : tasks_) {
    const CpuOp& op = cpu_op(task.node->op);
    const bool scratch = !task.quantize_output && op.scratch_bytes != nullptr;
    if (task.quantize_output)
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

Status CpuPlan::place_memory(Backend& backend) {
  // Lives are counted in barriers: between two of them, tasks run in any order.
  const size_t n_values = graph_->values().size();
  std::vector<Lifetime> data(n_values), quantized(n_values);
  size_t shared = 0;
  worker_bytes_ = 0;
  int phase = 0;
  for (const Task& task : tasks_) {
    phase += task.barrier_before ? 1 : 0;
    const size_t out = static_cast<size_t>(task.node->output.id);
    const ValueInfo& info = graph_->values()[out];
    if (!task.quantize_output) {
      data[out] = {phase, phase, info.desc.bytes()};
      const CpuOp& op = cpu_op(task.node->op);
      if (op.scratch_bytes != nullptr)
        shared = std::max(shared, op.scratch_bytes(*graph_, *task.node));
      if (op.worker_bytes != nullptr)
        worker_bytes_ = std::max(worker_bytes_, op.worker_bytes(*graph_, *task.node));
    }
    if (quantized_[out])
      quantized[out] = {
          quantized[out].bytes != 0 ? quantized[out].first : phase, phase,
          quantized_rows_bytes(max_rows(info), static_cast<int>(info.desc.shape.cols()))};
    if (task.quantize_output) data[out].last = phase;
    for (const Value v : task.node->inputs) {
      const size_t in = static_cast<size_t>(v.id);
      if (graph_->info(v).kind != ValueKind::kTemp) continue;
      data[in].last = phase;
      if (quantized_[in]) quantized[in].last = phase;
    }
  }
  data[static_cast<size_t>(graph_->output().id)].last = phase + 1;

  std::vector<Lifetime> lifetimes = data;
  lifetimes.insert(lifetimes.end(), quantized.begin(), quantized.end());
  const MemoryPlan memory = plan_memory(lifetimes);
  worker_bytes_ = aligned64(worker_bytes_ + kMatmulScratchBytes);
  shared = aligned64(shared);
  arena_bytes_ =
      memory.arena_bytes + shared + worker_bytes_ * static_cast<size_t>(setup_.n_threads);
  MINKE_ASSIGN(arena_, backend.allocate(arena_bytes_));
  std::byte* base = arena_->host().data();
  places_.resize(n_values);
  for (size_t i = 0; i < n_values; ++i) {
    if (data[i].bytes != 0) places_[i].data = base + memory.offsets[i];
    if (quantized[i].bytes != 0) places_[i].quantized = base + memory.offsets[n_values + i];
  }
  shared_scratch_ = base + memory.arena_bytes;
  worker_scratch_ = shared_scratch_ + shared;
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
      operand.quantized = quantized_rows_at(place.quantized, max_rows(info), operand.cols());
  }
  return operand;
}

void CpuPlan::run_worker(const Step& step, Worker& worker) noexcept {
  for (const Task& task : tasks_) {
    if (task.barrier_before) worker.barrier();
    const Operand out = operand(task.node->output, step);
    if (task.quantize_output) {
      worker.parallel_for(out.rows, [&](int r) {
        worker.kernels().quantize_rows(out.row(r), 0, 1, out.quantized, r);
      });
      continue;
    }
    Operand inputs[kMaxInputs];
    const size_t n_inputs = task.node->inputs.size();
    for (size_t i = 0; i < n_inputs; ++i) inputs[i] = operand(task.node->inputs[i], step);
    cpu_op(task.node->op)
        .run({task.node, {inputs, n_inputs}, out, &step, shared_scratch_, setup_.mla_form}, worker);
  }
}

Result<std::span<const float>> CpuPlan::run(const Step& step) {
  team_.reset(setup_.n_threads);
#pragma omp parallel num_threads(setup_.n_threads)
  {
    MINKE_CHECK(omp_get_num_threads() == setup_.n_threads, "{}", omp_get_num_threads());
    const int index = omp_get_thread_num();
    Worker worker(team_, index, *setup_.kernels,
                  worker_scratch_ + static_cast<size_t>(index) * worker_bytes_);
    run_worker(step, worker);
  }
  const Operand out = operand(graph_->output(), step);
  return std::span<const float>(out.f32(),
                                static_cast<size_t>(out.rows) * static_cast<size_t>(out.cols()));
}

}  // namespace minke::cpu
