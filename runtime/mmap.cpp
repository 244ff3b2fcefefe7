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
#include "runtime/memory_nodes.h"

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

/// From the beginning of the page where `range` begins to the end of `range`.
std::span<std::byte> from_page(std::span<const std::byte> range) noexcept {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const size_t before = reinterpret_cast<uintptr_t>(range.data()) % page;
  return {const_cast<std::byte*>(range.data()) - before, range.size() + before};
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

bool MappedFile::is_resident() const noexcept {
  constexpr size_t kSamples = 64;
  if (bytes_.empty()) return true;
  for (size_t i = 0; i < kSamples; ++i) {
    const auto page = from_page(bytes_.subspan(bytes_.size() / kSamples * i, 1));
    unsigned char resident = 0;
    if (mincore(page.data(), page.size(), &resident) == 0 && (resident & 1) == 0) return false;
  }
  return true;
}

Status MappedFile::populate(std::span<const std::byte> range) const {
#if defined(MADV_POPULATE_READ)
  if (range.empty()) return {};
  const auto pages = from_page(range);
  // Both are for speed alone; but what cannot be read now will not be there later either.
  (void)madvise(pages.data(), pages.size(), MADV_HUGEPAGE);
  if (madvise(pages.data(), pages.size(), MADV_POPULATE_READ) == 0 || errno != EFAULT) return {};
  return fail(Errc::kIo, "{}: became shorter or could not be read (is it being replaced?)",
              printable_path(path_));
#else
  (void)range;
  return {};
#endif
}

Status MappedFile::lock() const {
  const SpreadOverNodes spread;
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
