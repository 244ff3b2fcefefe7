// Where graphs run. A backend is a folder under backends/ with three classes: its Backend, Buffer
// and Plan, and one line in the program's list of backends.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "runtime/graph.h"
#include "runtime/result.h"
#include "runtime/step.h"

namespace minke {

/// Memory of a backend, freed on destruction.
class Buffer {
 public:
  virtual ~Buffer() = default;
  /// The bytes, where the host can reach them; empty where it cannot.
  virtual std::span<std::byte> host() noexcept = 0;
};

/// A graph made ready to run. Runs allocate nothing. Not thread-safe.
class Plan {
 public:
  virtual ~Plan() = default;
  /// Runs the graph and gives the output value, (rows, cols) f32, valid until the next run. Errors:
  /// kCancelled if step.watch stopped it: the rows that the step was to add to the cache hold
  /// anything then, all others what they held.
  virtual Result<std::span<const float>> run(const Step& step) = 0;
  /// Bytes that the plan holds for temporaries.
  virtual size_t scratch_bytes() const noexcept = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;
  /// "cpu:avx512vnni"
  virtual std::string name() const = 0;
  virtual int n_threads() const noexcept = 0;
  /// True if the backend runs this node, with these formats.
  virtual bool supports(const Graph& graph, const Node& node) const noexcept = 0;
  /// Zeroed memory, 64-byte aligned. Errors: kMemory.
  virtual Result<std::unique_ptr<Buffer>> allocate(size_t bytes) = 0;
  /// The graph must be finished and outlive the plan. Errors: kMemory, kUnsupported.
  virtual Result<std::unique_ptr<Plan>> compile(const Graph& graph) = 0;
};

}  // namespace minke
