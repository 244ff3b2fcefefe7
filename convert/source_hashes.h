// SHA-256 of the files that a conversion reads, so that its result can be traced to them; and
// whether their tensors have the hashes that the files say.
#pragma once

#include <atomic>
#include <functional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "convert/source.h"
#include "runtime/input_file.h"
#include "runtime/result.h"

namespace minke::convert {

/// Reads the files once from front to end in a thread of its own, beside the conversion.
class SourceHashes {
 public:
  /// The key that holds a line for each file, as sha256sum writes them: "DIGEST  NAME".
  static constexpr std::string_view kKey = "minke.source_sha256";

  /// Compares the stored hashes on the way. Files and hashes outlive this.
  SourceHashes(std::span<const InputFile* const> files, std::span<const StoredHash> stored);

  /// What stands in the file until the digests are known: lines of the same lengths.
  static std::vector<std::string> placeholders(std::span<const InputFile* const> files);

  /// The error, once there is one.
  Status so_far() const { return done_ ? status_ : Status{}; }
  /// Waits for the lines; asks `go_on` a few times a second meanwhile. Errors: kIo, kContent
  /// (data that do not have their stored hash), kCancelled.
  Result<std::vector<std::string>> wait(const std::function<bool()>& go_on);

 private:
  Status read_all(std::span<const InputFile* const> files, std::span<const StoredHash> stored,
                  const std::stop_token& stop);

  std::vector<std::string> lines_;
  Status status_;
  std::atomic<bool> done_ = false;
  std::jthread thread_;  // Last: it ends before what it uses goes.
};

}  // namespace minke::convert
