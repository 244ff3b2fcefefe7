#include "convert/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

#include "convert/safetensors_header.h"
#include "runtime/input_file.h"
#include "runtime/utf8.h"

namespace minke::convert {
namespace {

static_assert(std::endian::native == std::endian::little, "the format is little-endian");

struct TypeInfo {
  SourceType type;
  std::string_view name;
  size_t bytes;
};

constexpr std::array kTypes = {
    TypeInfo{SourceType::kF32, "F32", 4},        TypeInfo{SourceType::kF16, "F16", 2},
    TypeInfo{SourceType::kBF16, "BF16", 2},      TypeInfo{SourceType::kF8E4M3, "F8_E4M3", 1},
    TypeInfo{SourceType::kF8E5M2, "F8_E5M2", 1}, TypeInfo{SourceType::kF64, "F64", 8},
    TypeInfo{SourceType::kI64, "I64", 8},        TypeInfo{SourceType::kU64, "U64", 8},
    TypeInfo{SourceType::kI32, "I32", 4},        TypeInfo{SourceType::kU32, "U32", 4},
    TypeInfo{SourceType::kI16, "I16", 2},        TypeInfo{SourceType::kU16, "U16", 2},
    TypeInfo{SourceType::kI8, "I8", 1},          TypeInfo{SourceType::kU8, "U8", 1},
    TypeInfo{SourceType::kBool, "BOOL", 1},
};

/// Bytes of a tensor; false if they do not fit 64 bits.
bool byte_size(const SafeTensor& tensor, uint64_t& bytes) {
  bytes = source_type_bytes(tensor.type);
  for (int i = 0; i < tensor.shape.rank(); ++i) {
    if (__builtin_mul_overflow(bytes, static_cast<uint64_t>(tensor.shape[i]), &bytes)) return false;
  }
  return bytes <= static_cast<uint64_t>(INT64_MAX);
}

}  // namespace

std::string_view source_type_name(SourceType type) noexcept {
  return kTypes[static_cast<size_t>(type)].name;
}

size_t source_type_bytes(SourceType type) noexcept {
  return kTypes[static_cast<size_t>(type)].bytes;
}

bool is_float(SourceType type) noexcept { return type <= SourceType::kF64; }

const SourceType* find_source_type(std::string_view name) noexcept {
  const auto it = std::ranges::find(kTypes, name, &TypeInfo::name);
  return it == kTypes.end() ? nullptr : &it->type;
}

Result<SafetensorsFile> SafetensorsFile::open(const std::filesystem::path& path) {
  MINKE_ASSIGN(InputFile input, InputFile::open(path));
  SafetensorsFile file(std::move(input));
  MINKE_TRY(file.read_header());
  return file;
}

Status SafetensorsFile::read_header() {
  uint64_t length = 0;
  if (file_.size_bytes() < sizeof length) {
    return fail(Errc::kContent, "{}: too short for a header (got {} bytes, allowed 8 or more)",
                printable_path(path()), file_.size_bytes());
  }
  MINKE_TRY(file_.read_at(0, std::as_writable_bytes(std::span(&length, 1))));
  if (length == 0 || length > kMaxHeaderBytes) {
    return fail(Errc::kContent, "{}: offset 0x0: header length (got {}, allowed 1 to {})",
                printable_path(path()), length, kMaxHeaderBytes);
  }
  if (length > file_.size_bytes() - sizeof length) {
    return fail(Errc::kContent,
                "{}: offset 0x0: the header is longer than the file (got {}, allowed {})",
                printable_path(path()), length, file_.size_bytes() - sizeof length);
  }
  std::string text(length, '\0');
  MINKE_TRY(file_.read_at(sizeof length, std::as_writable_bytes(std::span(text))));
  MINKE_ASSIGN(tensors_, parse_safetensors_header(text, printable_path(path())));
  return check_layout(sizeof length + length);
}

Status SafetensorsFile::check_layout(uint64_t data_start) {
  const uint64_t data_bytes = file_.size_bytes() - data_start;
  std::ranges::sort(tensors_, [](const SafeTensor& a, const SafeTensor& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  const auto bad = [this](const SafeTensor& tensor, const std::string& reason) {
    return fail(Errc::kContent, "{}: tensor '{}': {}", printable_path(path()),
                printable(tensor.name), reason);
  };
  uint64_t expected = 0;
  for (SafeTensor& tensor : tensors_) {
    uint64_t bytes = 0;
    if (!byte_size(tensor, bytes)) return bad(tensor, "the product of its dimensions overflows");
    if (tensor.begin > tensor.end) {
      return bad(tensor, fmt::format("data_offsets run backwards (got {} to {})", tensor.begin,
                                     tensor.end));
    }
    if (tensor.end > data_bytes) {
      return bad(tensor, fmt::format("its data ends beyond the file (got {}, allowed {})",
                                     tensor.end, data_bytes));
    }
    if (tensor.end - tensor.begin != bytes) {
      return bad(tensor,
                 fmt::format("{} of {} needs {} bytes (got {})", to_string(tensor.shape),
                             source_type_name(tensor.type), bytes, tensor.end - tensor.begin));
    }
    if (tensor.begin != expected) {
      return bad(tensor, fmt::format("{} the tensor before it (begins at {}, allowed {})",
                                     tensor.begin < expected ? "overlaps" : "leaves a hole after",
                                     tensor.begin, expected));
    }
    expected = tensor.end;
    tensor.begin += data_start;
    tensor.end += data_start;
  }
  if (expected != data_bytes) {
    return fail(Errc::kContent, "{}: offset {:#x}: {} bytes after the last tensor",
                printable_path(path()), data_start + expected, data_bytes - expected);
  }
  std::ranges::sort(tensors_, {}, &SafeTensor::name);
  const auto twice = std::ranges::adjacent_find(tensors_, {}, &SafeTensor::name);
  if (twice != tensors_.end()) return bad(*twice, "stands twice in the header");
  return {};
}

}  // namespace minke::convert
