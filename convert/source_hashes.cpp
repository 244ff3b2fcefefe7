#include "convert/source_hashes.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "runtime/sha256.h"
#include "runtime/utf8.h"

namespace minke::convert {
namespace {

constexpr uint64_t kBytesAtOnce = uint64_t{1} << 20;
constexpr auto kPatience = std::chrono::milliseconds(10);

std::string line_of(const InputFile& file, const std::string& digest) {
  return fmt::format("{}  {}", digest, printable(file.path().filename().string()));
}

}  // namespace

SourceHashes::SourceHashes(std::span<const InputFile* const> files)
    : thread_([this, files](const std::stop_token& stop) {
        status_ = read_all(files, stop);
        done_ = true;
      }) {}

std::vector<std::string> SourceHashes::placeholders(std::span<const InputFile* const> files) {
  std::vector<std::string> lines;
  for (const InputFile* file : files) lines.push_back(line_of(*file, to_hex(Sha256Digest{})));
  return lines;
}

Status SourceHashes::read_all(std::span<const InputFile* const> files,
                              const std::stop_token& stop) {
  std::vector<std::byte> bytes;
  for (const InputFile* file : files) {
    Sha256 hash;
    for (uint64_t at = 0; at < file->size_bytes(); at += bytes.size()) {
      if (stop.stop_requested()) return fail(Errc::kCancelled, "interrupted");
      bytes.resize(std::min(kBytesAtOnce, file->size_bytes() - at));
      MINKE_TRY(file->read_at(at, bytes));
      hash.update(bytes);
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
