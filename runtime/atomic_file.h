// A file that appears under its name only when it is whole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string_view>

#include "runtime/result.h"

namespace minke {

/// Bytes go to `PATH.partial`; commit() flushes and fsyncs it, renames it to PATH and fsyncs the
/// directory. Destroyed before that, or after an error, the partial file is removed and PATH is as
/// it was. A second writer of the same PATH is refused while the first one lives.
class AtomicFile {
 public:
  /// What becomes of a partial file that an earlier run left.
  enum class Leftover { kDiscard, kKeep };
  /// What becomes of a file that is at PATH when commit() is called.
  enum class Existing { kReplace, kRefuse };

  /// With kKeep, what the partial file holds counts as appended. Errors: kMissing (the directory),
  /// kIo, also where PATH is a directory, a device or a symbolic link.
  static Result<AtomicFile> create(const std::filesystem::path& path,
                                   Leftover leftover = Leftover::kDiscard);
  AtomicFile(AtomicFile&&) noexcept;
  AtomicFile& operator=(AtomicFile&&) noexcept;
  ~AtomicFile();

  /// Checks that the file system has room for `bytes` more. Errors: kIo, with both numbers.
  Status check_space(uint64_t bytes) const;
  /// Appends through a buffer. After an error every later call gives the same error. Errors: kIo.
  Status write(std::span<const std::byte> bytes);
  Status write(std::string_view text) { return write(std::as_bytes(std::span(text))); }
  /// Gives what was appended to the system, which keeps it when the program is killed. Errors: kIo.
  Status flush();
  /// Replaces bytes that were appended before. Errors: kIo.
  Status overwrite(uint64_t offset, std::span<const std::byte> bytes);
  /// Reads bytes that were appended before. Errors: kIo.
  Status read_back(uint64_t offset, std::span<std::byte> out);
  /// Forgets what was appended from this size on. Errors: kIo.
  Status truncate(uint64_t size);
  /// Whether a destruction without commit() leaves the partial file; by default it does not.
  void keep_partial(bool keep) noexcept;
  /// Whether there was an error.
  bool has_failed() const noexcept;
  /// Bytes appended so far.
  uint64_t size_bytes() const noexcept;
  /// Makes the file appear under its name; once. Errors: kIo; kUsage for a file that is refused.
  Status commit(Existing existing = Existing::kReplace);

 private:
  struct Impl;
  explicit AtomicFile(std::unique_ptr<Impl> impl) noexcept;
  std::unique_ptr<Impl> impl_;
};

}  // namespace minke
