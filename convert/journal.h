// What a conversion has done, tensor by tensor, so that it can go on after it was cut off.
//
// OUTPUT.partial.journal is a text: "minke-journal 1 JOB", then a line for each tensor that
// OUTPUT.partial holds whole, in order; JOB and lines are SHA-256 digests. A line says what the
// data should be, and is believed only where the data have that digest: so neither file needs to
// reach the disk in any order.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "runtime/result.h"
#include "runtime/sha256.h"

namespace minke::convert {

/// Movable.
class Journal {
 public:
  /// Replaces the journal of OUTPUT, if there is one. `job` says what is converted how. Errors:
  /// kIo.
  static Result<Journal> create(const std::filesystem::path& output, const Sha256Digest& job);
  /// The tensors that the journal of OUTPUT says are done; none if there is no journal. Errors:
  /// kIo, kUsage (it is of another job).
  static Result<std::vector<Sha256Digest>> read(const std::filesystem::path& output,
                                                const Sha256Digest& job);
  static std::filesystem::path path_for(const std::filesystem::path& output);
  /// Takes the journal of OUTPUT away, if there is one.
  static void remove(const std::filesystem::path& output) noexcept;

  Journal(Journal&& other) noexcept;
  Journal& operator=(Journal&& other) noexcept;
  ~Journal();

  /// The next tensor is whole. Errors: kIo.
  Status add(const Sha256Digest& digest);
  size_t n_tensors() const noexcept { return n_tensors_; }

 private:
  Journal(std::filesystem::path path, int fd) : path_(std::move(path)), fd_(fd) {}
  Status append(const std::string& line);

  std::filesystem::path path_;
  int fd_;
  size_t n_tensors_ = 0;
};

}  // namespace minke::convert
