#include "convert/source_hashes.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "convert/tensor_hashes.h"
#include "runtime/sha256.h"
#include "runtime/utf8.h"

namespace minke::convert {
namespace {

constexpr uint64_t kBytesAtOnce = uint64_t{1} << 20;
constexpr auto kPatience = std::chrono::milliseconds(10);

std::string line_of(const InputFile& file, const std::string& digest) {
  return fmt::format("{}  {}", digest, printable(file.path().filename().string()));
}

/// Compares hashes of a file's tensors while its bytes come by, from front to end.
class StoredHashCheck {
 public:
  StoredHashCheck(const InputFile& file, std::span<const StoredHash> stored) {
    for (const StoredHash& hash : stored) {
      if (hash.file == &file) stored_.push_back(&hash);
    }
    const auto overlap = [](const StoredHash* a, const StoredHash* b) {
      return b->begin < a->begin + a->n_bytes;
    };
    MINKE_CHECK(std::ranges::adjacent_find(stored_, overlap) == stored_.end(), "{}",
                printable_path(file.path()));
  }

  /// Errors: kContent, with the tensor's name; kIo, where the file changed.
  Status take(uint64_t begin, std::span<const std::byte> bytes) {
    const uint64_t end = begin + bytes.size();
    for (; next_ < stored_.size(); ++next_) {
      const StoredHash& stored = *stored_[next_];
      const uint64_t stored_end = stored.begin + stored.n_bytes;
      const uint64_t from = std::max(begin, stored.begin), to = std::min(end, stored_end);
      if (from < to) hash_.update(bytes.subspan(from - begin, to - from));
      if (end < stored_end) return {};
      const Sha256Digest digest = hash_.finish();
      if (digest == stored.digest) continue;
      MINKE_TRY(stored.file->check_unchanged());  // Meanwhile: that is another error.
      return fail(Errc::kContent, "{}: {}; --ignore-hashes takes them as they are",
                  printable_path(stored.file->path()),
                  changed_data_text(stored.name, digest, stored.digest));
    }
    return {};
  }

 private:
  std::vector<const StoredHash*> stored_;
  size_t next_ = 0;
  Sha256 hash_;
};

}  // namespace

SourceHashes::SourceHashes(std::span<const InputFile* const> files,
                           std::span<const StoredHash> stored)
    : thread_([this, files, stored](const std::stop_token& stop) {
        status_ = read_all(files, stored, stop);
        done_ = true;
      }) {}

std::vector<std::string> SourceHashes::placeholders(std::span<const InputFile* const> files) {
  std::vector<std::string> lines;
  for (const InputFile* file : files) lines.push_back(line_of(*file, to_hex(Sha256Digest{})));
  return lines;
}

Status SourceHashes::read_all(std::span<const InputFile* const> files,
                              std::span<const StoredHash> stored, const std::stop_token& stop) {
  std::vector<std::byte> bytes;
  for (const InputFile* file : files) {
    Sha256 hash;
    StoredHashCheck check(*file, stored);
    for (uint64_t at = 0; at < file->size_bytes(); at += bytes.size()) {
      if (stop.stop_requested()) return fail(Errc::kCancelled, "interrupted");
      bytes.resize(std::min(kBytesAtOnce, file->size_bytes() - at));
      MINKE_TRY(file->read_at(at, bytes));
      hash.update(bytes);
      MINKE_TRY(check.take(at, bytes));
    }
    lines_.push_back(line_of(*file, to_hex(hash.finish())));
  }
  return {};
}

Result<std::vector<std::string>> SourceHashes::wait(const std::function<bool()>& go_on) {
  while (!done_) {
    if (!go_on()) return fail(Errc::kCancelled, "interrupted");
    std::this_thread::sleep_for(kPatience);
  }
  MINKE_TRY(status_);
  return lines_;
}

}  // namespace minke::convert
