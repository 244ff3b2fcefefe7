// Whether a GGUF file's tensors are what was written, and can be computed with.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "convert/convert.h"
#include "runtime/gguf_reader.h"
#include "runtime/result.h"

namespace minke::convert {

struct VerifyReport {
  size_t n_tensors = 0;
  uint64_t tensor_bytes = 0;
  bool has_hashes = false;  ///< GgufWriter::kHashesKey; files of other programs have none.
  /// The hashes are those of a file that another program made this one from; not compared.
  bool hashes_are_old = false;
  /// "tensor 'x': reason", one for each bad tensor, in the order of the file.
  std::vector<std::string> faults;
};

/// Reads all tensors of an open file: compares their SHA-256 with those in the file, and decodes
/// every block, whose values and thus scales must be finite. Memory: some MB a thread. Errors: kIo,
/// kContent (hashes that do not fit the tensors), kCancelled.
Result<VerifyReport> verify_tensors(const GgufFile& file, int n_threads,
                                    const ProgressCallback& progress);

}  // namespace minke::convert
