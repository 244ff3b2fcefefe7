// A graph made ready for the CPU: operands resolved, memory placed, barriers where they are needed.
#pragma once

#include <memory>
#include <vector>

#include "backends/cpu/ops/op.h"
#include "runtime/backend.h"
#include "runtime/schedule.h"

namespace minke::cpu {

class CpuPlan : public Plan {
 public:
  struct Setup {
    const KernelTable* kernels;
    int n_threads;
    MlaForm mla_form;
    WeightObserver observer;
  };
  static Result<std::unique_ptr<Plan>> compile(const Graph& graph, const Setup& setup,
                                               Backend& backend);

  Result<std::span<const float>> run(const Step& step) override;
  size_t scratch_bytes() const noexcept override { return arena_bytes_; }

 private:
  /// Where a temporary and its quantized twin lie in the arena.
  struct Place {
    std::byte* data = nullptr;
    std::byte* quantized = nullptr;
    Rests rests = Rests::kNo;  ///< Of the quantized rows.
  };

  CpuPlan(const Graph& graph, const Setup& setup) : graph_(&graph), setup_(setup) {}
  Status place_memory(Backend& backend);
  Operand operand(Value v, const Step& step) const noexcept;
  void run_worker(const Step& step, Worker& worker) noexcept;

  const Graph* graph_;
  Setup setup_;
  Schedule schedule_;          ///< "Converted" values are quantized rows.
  std::vector<Place> places_;  ///< One a value.
  std::unique_ptr<Buffer> arena_;
  size_t arena_bytes_ = 0, worker_bytes_ = 0;
  std::byte* shared_scratch_ = nullptr;
  std::byte* worker_scratch_ = nullptr;
  Team team_;
};

}  // namespace minke::cpu
