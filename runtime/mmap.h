// Read-only mapping of a whole file.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

#include "runtime/result.h"

namespace minke {

/// Owns the mapping; movable. The bytes stay valid, at the same address, until destruction, also
/// after a move. If another process shortens the file meanwhile, touching the lost part is SIGBUS.
class MappedFile {
 public:
  /// Errors: kMissing; kIo (not readable, or not a regular file); kContent (empty).
  static Result<MappedFile> open(const std::filesystem::path& path);
  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const noexcept { return bytes_; }
  const std::filesystem::path& path() const noexcept { return path_; }

  /// Whether the file is in memory, judged by pages here and there. Of a file that this process
  /// does not own and may not write, Linux always says so.
  bool is_resident() const noexcept;

  /// Reads what is not in memory yet of a range of bytes(), and waits for it: in large pages where
  /// the file system has them, and so what is read of it later. A system that cannot do that does
  /// nothing. Errors: kIo.
  Status populate(std::span<const std::byte> range) const;

  /// Keeps the whole file in memory. Errors: kMemory, with the limit that stands in the way.
  Status lock() const;

 private:
  std::filesystem::path path_;
  std::span<const std::byte> bytes_;
};

/// The file whose mapping holds this address, as printable_path gives it; null if no MappedFile
/// does, or if there are too many (256) to know all. For signal handlers: it only reads memory.
const char* mapped_file_at(const void* address) noexcept;

}  // namespace minke
