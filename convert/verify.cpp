#include "convert/verify.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "convert/source_values.h"
#include "convert/tensor_hashes.h"
#include "runtime/input_file.h"
#include "runtime/sha256.h"
#include "runtime/utf8.h"

namespace minke::convert {
namespace {

constexpr size_t kValuesAtOnce = size_t{1} << 17;

/// Threads that check tensors side by side. What they share is behind the mutex, or atomic.
class Verifier {
 public:
  Verifier(const GgufFile& file, std::span<const Sha256Digest> hashes, std::vector<InputFile> parts)
      : file_(file), hashes_(hashes), parts_(std::move(parts)), faults_(file.tensors().size()) {
    for (const GgufTensor& tensor : file.tensors()) total_bytes_ += tensor.data.size();
  }

  Result<VerifyReport> run(int n_threads, const ProgressCallback& progress) {
    progress_ = &progress;
    {
      std::vector<std::jthread> threads;
      for (int i = 1; i < n_threads; ++i) threads.emplace_back([this] { work(false); });
      work(true);
    }
    if (error_) return tl::unexpected(*error_);
    VerifyReport report{faults_.size(), total_bytes_, !hashes_.empty(), false, {}};
    for (std::string& fault : faults_) {
      if (!fault.empty()) report.faults.push_back(std::move(fault));
    }
    return report;
  }

 private:
  void work(bool is_caller) {
    std::vector<std::byte> bytes;
    std::vector<float> values;
    for (size_t i = next_++; i < faults_.size() && !stopped_; i = next_++) {
      auto fault = check(i, is_caller, bytes, values);
      if (fault) {
        faults_[i] = std::move(*fault);
      } else {
        const std::scoped_lock lock(mutex_);
        stopped_ = true;
        if (!error_) error_ = std::move(fault).error();
      }
    }
    // Others may still work: the caller goes on to tell of it.
    while (is_caller && !stopped_) {
      const bool all_done = done_bytes_ == total_bytes_;
      if (const Status status = tell(); !status) {
        const std::scoped_lock lock(mutex_);
        stopped_ = true;
        if (!error_) error_ = status.error();
      }
      if (all_done) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  }

  Status tell() {
    if (!*progress_) return {};
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start_;
    const Progress state{done_bytes_, total_bytes_, took.count(), {}};
    return (*progress_)(state) ? Status{} : fail(Errc::kCancelled, "interrupted");
  }

  /// What is wrong with a tensor; empty if nothing is.
  Result<std::string> check(size_t i, bool is_caller, std::vector<std::byte>& bytes,
                            std::vector<float>& values) {
    const GgufTensor& tensor = file_.tensors()[i];
    const FormatTraits& format = *find_format(tensor.desc.dtype);
    const size_t step = kValuesAtOnce / format.block_len * format.block_bytes;
    Sha256 hash;
    std::string fault;
    for (uint64_t at = 0; at < tensor.data.size() && !stopped_; at += step) {
      bytes.resize(std::min<uint64_t>(step, tensor.data.size() - at));
      MINKE_TRY(parts_[static_cast<size_t>(tensor.part)].read_at(tensor.offset + at, bytes));
      if (!hashes_.empty()) hash.update(bytes);
      values.resize(bytes.size() / format.block_bytes * format.block_len);
      format.decode(bytes.data(), values.data(), bytes.size() / format.block_bytes);
      const auto bad = find_non_finite(values);
      if (bad && fault.empty()) {
        const uint64_t index = at / format.block_bytes * format.block_len + *bad;
        const auto cols = static_cast<uint64_t>(tensor.desc.shape.cols());
        fault =
            fmt::format("tensor '{}': {} at index {} (row {}, column {})", printable(tensor.name),
                        values[*bad], index, index / cols, index % cols);
      }
      done_bytes_ += bytes.size();
      if (is_caller) MINKE_TRY(tell());
    }
    if (hashes_.empty() || stopped_) return fault;
    const Sha256Digest digest = hash.finish();
    if (digest == hashes_[i]) return fault;
    return changed_data_text(tensor.name, digest, hashes_[i]);
  }

  const GgufFile& file_;
  std::span<const Sha256Digest> hashes_;
  std::vector<InputFile> parts_;
  const ProgressCallback* progress_ = nullptr;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();

  std::vector<std::string> faults_;  // One a tensor, written by the thread that checks it.
  uint64_t total_bytes_ = 0;
  std::atomic<size_t> next_ = 0;
  std::atomic<uint64_t> done_bytes_ = 0;
  std::atomic<bool> stopped_ = false;
  std::mutex mutex_;
  std::optional<Error> error_;
};

}  // namespace

Result<VerifyReport> verify_tensors(const GgufFile& file, int n_threads,
                                    const ProgressCallback& progress) {
  MINKE_CHECK(n_threads >= 1, "{} threads", n_threads);
  MINKE_ASSIGN(const TensorHashes hashes, tensor_hashes(file));
  std::vector<InputFile> parts;
  for (const auto& path : file.part_paths()) {
    MINKE_ASSIGN(InputFile part, InputFile::open(path));
    parts.push_back(std::move(part));
  }
  MINKE_ASSIGN(VerifyReport report,
               Verifier(file, hashes.digests, std::move(parts)).run(n_threads, progress));
  report.hashes_are_old = hashes.are_old;
  return report;
}

}  // namespace minke::convert
