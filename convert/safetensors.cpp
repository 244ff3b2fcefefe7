#include "convert/safetensors.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <utility>

#include "convert/safetensors_header.h"
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

int64_t change_time_ns(const struct stat& info) {
  return int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec;
}

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

SafetensorsFile::SafetensorsFile(SafetensorsFile&& other) noexcept
    : path_(std::move(other.path_)),
      fd_(std::exchange(other.fd_, -1)),
      size_(other.size_),
      changed_ns_(other.changed_ns_),
      tensors_(std::move(other.tensors_)) {}

SafetensorsFile& SafetensorsFile::operator=(SafetensorsFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  std::swap(size_, other.size_);
  std::swap(changed_ns_, other.changed_ns_);
  std::swap(tensors_, other.tensors_);
  return *this;
}

SafetensorsFile::~SafetensorsFile() {
  if (fd_ >= 0) ::close(fd_);
}

Result<SafetensorsFile> SafetensorsFile::open(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return fail(errno == ENOENT ? Errc::kMissing : Errc::kIo, "{}: {}", path.string(),
                std::strerror(errno));
  }
  SafetensorsFile file(path, fd);
  struct stat info {};
  if (::fstat(fd, &info) != 0) {
    return fail(Errc::kIo, "{}: {}", path.string(), std::strerror(errno));
  }
  if (!S_ISREG(info.st_mode)) {
    return fail(Errc::kContent, "{}: is not a regular file", path.string());
  }
  file.size_ = static_cast<uint64_t>(info.st_size);
  file.changed_ns_ = change_time_ns(info);
  MINKE_TRY(file.read_header());
  return file;
}

Status SafetensorsFile::read(uint64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t n = ::pread(fd_, out.data(), out.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      return fail(Errc::kIo, "{}: offset {:#x}: {}", path_.string(), offset, std::strerror(errno));
    }
    if (n == 0) {
      return fail(Errc::kIo, "{}: offset {:#x}: the file became shorter while it was read",
                  path_.string(), offset);
    }
    offset += static_cast<uint64_t>(n);
    out = out.subspan(static_cast<size_t>(n));
  }
  return {};
}

Status SafetensorsFile::check_unchanged() const {
  struct stat info {};
  if (::fstat(fd_, &info) != 0) {
    return fail(Errc::kIo, "{}: {}", path_.string(), std::strerror(errno));
  }
  if (static_cast<uint64_t>(info.st_size) != size_ || change_time_ns(info) != changed_ns_) {
    return fail(Errc::kIo, "{}: the file was changed while it was read", path_.string());
  }
  return {};
}

Status SafetensorsFile::read_header() {
  uint64_t length = 0;
  if (size_ < sizeof length) {
    return fail(Errc::kContent, "{}: too short for a header (got {} bytes, allowed 8 or more)",
                path_.string(), size_);
  }
  MINKE_TRY(read(0, std::as_writable_bytes(std::span(&length, 1))));
  if (length == 0 || length > kMaxHeaderBytes) {
    return fail(Errc::kContent, "{}: offset 0x0: header length (got {}, allowed 1 to {})",
                path_.string(), length, kMaxHeaderBytes);
  }
  if (length > size_ - sizeof length) {
    return fail(Errc::kContent,
                "{}: offset 0x0: the header is longer than the file (got {}, allowed {})",
                path_.string(), length, size_ - sizeof length);
  }
  std::string text(length, '\0');
  MINKE_TRY(read(sizeof length, std::as_writable_bytes(std::span(text))));
  MINKE_ASSIGN(tensors_, parse_safetensors_header(text, path_.string()));
  return check_layout(sizeof length + length);
}

Status SafetensorsFile::check_layout(uint64_t data_start) {
  const uint64_t data_bytes = size_ - data_start;
  std::ranges::sort(tensors_, [](const SafeTensor& a, const SafeTensor& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  const auto bad = [this](const SafeTensor& tensor, const std::string& reason) {
    return fail(Errc::kContent, "{}: tensor '{}': {}", path_.string(), printable(tensor.name),
                reason);
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
    return fail(Errc::kContent, "{}: offset {:#x}: {} bytes after the last tensor", path_.string(),
                data_start + expected, data_bytes - expected);
  }
  std::ranges::sort(tensors_, {}, &SafeTensor::name);
  const auto twice = std::ranges::adjacent_find(tensors_, {}, &SafeTensor::name);
  if (twice != tensors_.end()) return bad(*twice, "stands twice in the header");
  return {};
}

}  // namespace minke::convert
