// Reading, encoding on all cores and writing, side by side, in bounded memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "convert/pieces.h"
#include "runtime/result.h"

namespace minke::convert {

/// How a pipeline is laid out.
struct PipelineShape {
  size_t n_workers = 1;       ///< Threads that encode; one more reads.
  size_t n_slots = 3;         ///< Pieces that are somewhere between being read and being written.
  uint64_t memory_bytes = 0;  ///< What all buffers take together.
};

/// For n_threads encoding threads, or as many as stay within the memory. Errors: kMemory (a single
/// piece of the model has no room in it).
Result<PipelineShape> plan_pipeline(std::span<const PlannedTensor> tensors, int n_threads);

/// Takes the pieces one after another, in the order of the file, on the thread that called.
using PieceWriter = std::function<Status(const Piece&, std::span<const std::byte>)>;

/// Runs all pieces through. An error of an earlier piece comes before one of a later piece, so that
/// neither the result nor the error depends on the threads. `go_on` is called on the calling thread
/// while it waits; false stops with kCancelled. Errors: kIo, kContent, those of `write`.
Status run_pipeline(std::span<const PlannedTensor> tensors, const PipelineShape& shape,
                    const PieceWriter& write, const std::function<bool()>& go_on);

}  // namespace minke::convert
