#include "runtime/mmap.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <system_error>
#include <utility>

#include "runtime/input_file.h"

namespace minke {
namespace fs = std::filesystem;
namespace {

/// What a signal handler can know of a mapping. Fixed memory, so that reading it is always safe.
struct KnownMapping {
  std::atomic<bool> taken{false};
  std::atomic<const std::byte*> begin{nullptr};  ///< Set last, and taken back first.
  size_t size = 0;
  std::array<char, 4200> name{};  ///< Longer than printable_path makes it.
};
std::array<KnownMapping, 256> known_mappings;

void note_mapping(std::span<const std::byte> bytes, const std::string& name) noexcept {
  for (KnownMapping& known : known_mappings) {
    if (known.taken.exchange(true)) continue;
    known.size = bytes.size();
    std::strncpy(known.name.data(), name.c_str(), known.name.size() - 1);
    known.begin.store(bytes.data());
    return;
  }
}

void forget_mapping(std::span<const std::byte> bytes) noexcept {
  for (KnownMapping& known : known_mappings) {
    if (known.begin.load() != bytes.data()) continue;
    known.begin.store(nullptr);
    known.taken.store(false);
    return;
  }
}

int to_madvise(MappedFile::Advice advice) noexcept {
  switch (advice) {
    case MappedFile::Advice::kNormal:
      return MADV_NORMAL;
    case MappedFile::Advice::kRandom:
      return MADV_RANDOM;
    case MappedFile::Advice::kSequential:
      return MADV_SEQUENTIAL;
    case MappedFile::Advice::kWillNeed:
      return MADV_WILLNEED;
    case MappedFile::Advice::kDontNeed:
      return MADV_DONTNEED;
  }
  return MADV_NORMAL;
}

}  // namespace

const char* mapped_file_at(const void* address) noexcept {
  const auto at = reinterpret_cast<uintptr_t>(address);
  for (const KnownMapping& known : known_mappings) {
    const auto begin = reinterpret_cast<uintptr_t>(known.begin.load());
    if (begin != 0 && at >= begin && at - begin < known.size) return known.name.data();
  }
  return nullptr;
}

Result<MappedFile> MappedFile::open(const fs::path& path) {
  MINKE_ASSIGN(const InputFile input, InputFile::open(path));
  const uint64_t size = input.size_bytes();
  if (size == 0) return fail(Errc::kContent, "{}: the file is empty", printable_path(path));
  // The mapping holds the file: the descriptor may go.
  void* data = mmap(nullptr, size, PROT_READ, MAP_SHARED, input.descriptor(), 0);
  if (data == MAP_FAILED) return tl::unexpected(io_error(path, errno));
  MappedFile file;
  file.path_ = path;
  file.bytes_ = {static_cast<const std::byte*>(data), size};
  note_mapping(file.bytes_, printable_path(path));
  return file;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)), bytes_(std::exchange(other.bytes_, {})) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

MappedFile::~MappedFile() {
  if (bytes_.empty()) return;
  forget_mapping(bytes_);
  munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

namespace {

/// Whole pages.
struct PageRange {
  void* begin;
  size_t size;
};

PageRange pages_of(std::span<const std::byte> range) noexcept {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(range.data()) / page * page;
  const auto end = reinterpret_cast<uintptr_t>(range.data()) + range.size();
  return {reinterpret_cast<void*>(begin), end - begin};
}

}  // namespace

bool MappedFile::is_resident() const noexcept {
  constexpr size_t kSamples = 64;
  if (bytes_.empty()) return true;
  for (size_t i = 0; i < kSamples; ++i) {
    const PageRange page = pages_of(bytes_.subspan(bytes_.size() / kSamples * i, 1));
    unsigned char resident = 0;
    if (mincore(page.begin, page.size, &resident) == 0 && (resident & 1) == 0) return false;
  }
  return true;
}

Status MappedFile::populate(std::span<const std::byte> range) const {
  if (range.empty()) return {};
  const PageRange pages = pages_of(range);
  (void)madvise(pages.begin, pages.size, MADV_HUGEPAGE);  // A hint.
  while (madvise(pages.begin, pages.size, MADV_POPULATE_READ) != 0) {
    // EINVAL: a kernel before 5.14. EFAULT: a page of the file could not be read.
    if (errno == EINVAL) return {};
    if (errno == EFAULT) return tl::unexpected(io_error(path_, EIO));
    if (errno != EINTR && errno != EAGAIN) return tl::unexpected(io_error(path_, errno));
  }
  return {};
}

void MappedFile::advise(Advice advice, std::span<const std::byte> range) const noexcept {
  if (range.empty()) return;
  const PageRange pages = pages_of(range);
  // A hint: nothing depends on its success.
  (void)madvise(pages.begin, pages.size, to_madvise(advice));
}

Status MappedFile::lock() const {
  if (mlock(bytes_.data(), bytes_.size()) == 0) return {};
  const int error = errno;
  rlimit limit{};
  getrlimit(RLIMIT_MEMLOCK, &limit);
  return fail(
      Errc::kMemory, "{}: cannot keep {} bytes in memory: {} (the limit, ulimit -l, is {})",
      printable_path(path_), bytes_.size(), std::generic_category().message(error),
      limit.rlim_cur == RLIM_INFINITY ? "unlimited" : fmt::format("{} bytes", limit.rlim_cur));
}

}  // namespace minke
