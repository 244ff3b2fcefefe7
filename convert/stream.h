// Moves tensors from a source into a file: read, decode, check, encode, write, a piece at a
// time.
#pragma once

#include <cstdint>
#include <functional>

#include "convert/tensor_plan.h"
#include "runtime/gguf_writer.h"
#include "runtime/result.h"

namespace minke::convert {

/// Bytes of the source that a tensor reads, for progress; scales not counted.
uint64_t source_bytes(const PlannedTensor& tensor);

/// Appends the tensor's data to the writer, which must be at this tensor. Rows are independent, so
/// that n_threads changes nothing in the result. Memory: some 3 MB a thread and 70 MB, whatever the
/// tensor's size. `advance` is called on the calling thread with the source's bytes that were
/// dealt with since its last call; when it returns false, the result is kCancelled.
/// Errors: kIo, kContent (a NaN or an infinity, with the tensor's name and the place in it),
/// kCancelled.
Status stream_tensor(const PlannedTensor& tensor, int n_threads, GgufWriter& writer,
                     const std::function<bool(uint64_t)>& advance);

}  // namespace minke::convert
