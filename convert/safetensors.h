// One safetensors file. Format: https://github.com/huggingface/safetensors, "Format": u64 length of
// the header, a JSON header, then the tensors' bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/input_file.h"
#include "runtime/result.h"
#include "runtime/tensor.h"

namespace minke::convert {

/// Element types of the format. Weights come as the first six; the others are only sized.
enum class SourceType : uint8_t {
  kF32,
  kF16,
  kBF16,
  kF8E4M3,
  kF8E5M2,
  kF64,
  kI64,
  kU64,
  kI32,
  kU32,
  kI16,
  kU16,
  kI8,
  kU8,
  kBool,
};

std::string_view source_type_name(SourceType type) noexcept;  ///< "F8_E4M3"
size_t source_type_bytes(SourceType type) noexcept;
/// Whether it holds weights: source_values.h decodes it.
bool is_float(SourceType type) noexcept;

struct SafeTensor {
  std::string name;
  Shape shape;  ///< Row length last.
  SourceType type = SourceType::kF32;
  uint64_t begin = 0;  ///< Of its bytes, from the start of the file.
  uint64_t end = 0;
};

/// An open file with a checked header: tensors lie side by side and fill the file exactly, and each
/// has as many bytes as its shape needs. Reads go through pread, so that a file that is cut short
/// meanwhile gives an error and not a SIGBUS. Movable; file().read_at() is thread-safe.
class SafetensorsFile {
 public:
  static constexpr uint64_t kMaxHeaderBytes = 100'000'000;

  /// Errors: kMissing, kIo, kContent.
  static Result<SafetensorsFile> open(const std::filesystem::path& path);

  const InputFile& file() const noexcept { return file_; }
  const std::filesystem::path& path() const noexcept { return file_.path(); }
  /// Ordered by name.
  std::span<const SafeTensor> tensors() const noexcept { return tensors_; }

 private:
  explicit SafetensorsFile(InputFile file) : file_(std::move(file)) {}
  Status read_header();
  Status check_layout(uint64_t data_start);

  InputFile file_;
  std::vector<SafeTensor> tensors_;
};

}  // namespace minke::convert
