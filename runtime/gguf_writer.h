// Writes GGUF version 3: metadata first, then every tensor in the order in which it was declared.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "runtime/atomic_file.h"
#include "runtime/gguf_reader.h"
#include "runtime/result.h"
#include "runtime/sha256.h"
#include "runtime/tensor.h"

namespace minke {

/// The result is written to `PATH.partial`; finish() flushes, fsyncs, renames it to PATH and fsyncs
/// the directory. Destroyed without finish(), the partial file is removed and PATH is untouched.
class GgufWriter {
 public:
  static constexpr size_t kAlignment = 32;  ///< general.alignment's default
  /// The key that keep_hashes() adds: u8s, the SHA-256 of each tensor's data (32 bytes each,
  /// without padding), in the order of the tensors.
  static constexpr std::string_view kHashesKey = "minke.tensor_sha256";

  static Result<GgufWriter> create(const std::filesystem::path& path,
                                   AtomicFile::Leftover leftover = AtomicFile::Leftover::kDiscard);
  GgufWriter(GgufWriter&&) noexcept;
  GgufWriter& operator=(GgufWriter&&) noexcept;
  ~GgufWriter();

  // Metadata; before begin_data(). A key may be set once.
  void set_u32(std::string_view key, uint32_t value);
  void set_u64(std::string_view key, uint64_t value);
  void set_f32(std::string_view key, float value);
  void set_bool(std::string_view key, bool value);
  void set_string(std::string_view key, std::string_view value);
  void set_strings(std::string_view key, std::span<const std::string> values);
  /// The same, but replace_strings() may give others of the same lengths until finish().
  void set_late_strings(std::string_view key, std::span<const std::string> values);
  void set_i32s(std::string_view key, std::span<const int32_t> values);
  void set_f32s(std::string_view key, std::span<const float> values);
  /// Copies an entry of another file as it stands. Keys that describe the other file's own layout
  /// (general.alignment, split.*, kHashesKey) are left out.
  void set_entry(const GgufFile::Entry& entry);

  /// The file will hold kHashesKey.
  void keep_hashes();

  /// Declares a tensor; data follows in this order.
  void add_tensor(std::string_view name, const TensorDesc& desc);
  /// Size of the finished file, from what was declared.
  uint64_t planned_bytes() const;

  /// Digest of everything before the data, with zeros for the hashes and late strings as they were
  /// set: files that differ in a key,
  /// or in a tensor's name, type or shape, have another one.
  Sha256Digest header_digest() const;

  /// Checks the free space, writes the header. Errors: kIo.
  Status begin_data();
  /// Goes on with a partial file that was kept: writes the header over its own, and keeps those of
  /// its first tensors whose data have the digests `done`; keep_hashes() was called. Gives how many
  /// these are; write() goes on with the next. Errors: kIo.
  Result<size_t> resume_data(std::span<const Sha256Digest> done);
  /// Digests of the tensors that are complete.
  std::span<const Sha256Digest> digests() const noexcept;
  /// Whether a destruction without finish() leaves the partial file; by default it does not.
  void keep_partial(bool keep) noexcept;
  /// Whether writing, not the caller, failed.
  bool has_failed() const noexcept;
  /// Appends bytes of the current tensor; moves to the next when it is complete. More bytes than
  /// declared is a programmer's mistake.
  Status write(std::span<const std::byte> bytes);
  /// After begin_data() or resume_data(). Errors: kIo.
  Status replace_strings(std::string_view key, std::span<const std::string> values);
  /// Gives what was written to the system, which keeps it when the program is killed. Errors: kIo.
  Status flush();
  /// Errors: those of AtomicFile::commit; MINKE_CHECK that every tensor is complete.
  Status finish(AtomicFile::Existing existing = AtomicFile::Existing::kReplace);

 private:
  struct Impl;
  explicit GgufWriter(std::unique_ptr<Impl> impl) noexcept;
  std::unique_ptr<Impl> impl_;
};

}  // namespace minke
