#include "runtime/reference_backend.h"

#include <new>
#include <vector>

#include "runtime/ops/op.h"

namespace minke {
namespace {

class HostBuffer : public Buffer {
 public:
  explicit HostBuffer(size_t bytes) : bytes_(bytes) {}
  std::span<std::byte> host() noexcept override { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

class ReferencePlan : public Plan {
 public:
  explicit ReferencePlan(const Graph& graph) : graph_(&graph), temps_(graph.values().size()) {
    for (size_t i = 0; i < temps_.size(); ++i) {
      const ValueInfo& info = graph.values()[i];
      if (info.kind == ValueKind::kTemp)
        temps_[i].resize(static_cast<size_t>(info.desc.shape.elements()));
    }
  }

  Result<std::span<const float>> run(const Step& step) override {
    const auto n_nodes = static_cast<double>(graph_->nodes().size());
    double n_done = 0;
    for (const Node& node : graph_->nodes()) {
      if (step.watch != nullptr && !(*step.watch)(n_done++ / n_nodes))
        return fail(Errc::kCancelled, "the step was stopped");
      std::vector<OpInput> inputs;
      for (const Value v : node.inputs) inputs.push_back(input(v, step));
      const OpCall call{node.attrs, inputs, temps_[static_cast<size_t>(node.output.id)].data(),
                        step.rows(graph_->info(node.output)), step};
      op_def(node.op).reference(call);
    }
    const Value out = graph_->output();
    const size_t cols = static_cast<size_t>(graph_->info(out).desc.shape.cols());
    return std::span<const float>(temps_[static_cast<size_t>(out.id)].data(),
                                  static_cast<size_t>(step.rows(graph_->info(out))) * cols);
  }

  size_t scratch_bytes() const noexcept override {
    size_t bytes = 0;
    for (const auto& temp : temps_) bytes += temp.size() * sizeof(float);
    return bytes;
  }

 private:
  OpInput input(Value v, const Step& step) const {
    const ValueInfo& info = graph_->info(v);
    const void* data = info.weight;
    if (info.kind == ValueKind::kInput) data = step.input(info.input).data();
    if (info.kind == ValueKind::kTemp) data = temps_[static_cast<size_t>(v.id)].data();
    return {&info, data, step.rows(info)};
  }

  const Graph* graph_;
  std::vector<std::vector<float>> temps_;
};

class ReferenceBackend : public Backend {
 public:
  std::string name() const override { return "reference"; }
  int n_threads() const noexcept override { return 1; }
  bool supports(const Graph&, const Node&) const noexcept override { return true; }
  Result<std::unique_ptr<Buffer>> allocate(size_t bytes) override {
    return std::make_unique<HostBuffer>(bytes);
  }
  Result<std::unique_ptr<Plan>> compile(const Graph& graph) override {
    return std::make_unique<ReferencePlan>(graph);
  }
};

}  // namespace

std::unique_ptr<Backend> make_reference_backend() { return std::make_unique<ReferenceBackend>(); }

}  // namespace minke
