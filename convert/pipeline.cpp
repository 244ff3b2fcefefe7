#include "convert/pipeline.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace minke::convert {
namespace {

/// For all buffers; the rest of the promised 1 GiB is for metadata and the program.
constexpr uint64_t kMaxBytes = uint64_t{768} << 20;
constexpr size_t kMinSlots = 3;  // One is read, one encoded, one written.
constexpr auto kPatience = std::chrono::milliseconds(100);

/// A place for a piece on its way. Owned by one stage at a time; the counters say which.
struct Slot {
  Piece piece;
  PieceBytes bytes;
  std::vector<std::byte> out;
  Status status;
  bool encoded = false;
};

/// Piece i uses slot i % n_slots. Of all pieces, the first n_written_ are done with, those before
/// n_taken_ are or were with a worker, those before n_read_ are in memory.
class Pipeline {
 public:
  Pipeline(std::span<const PlannedTensor> tensors, const PipelineShape& shape)
      : pieces_(tensors), slots_(shape.n_slots), scratch_(shape.n_workers) {
    // All memory is taken here, where running out of it can be reported.
    const PieceLimits limits = piece_limits(tensors);
    for (Slot& slot : slots_) {
      slot.bytes.weights.reserve(limits.source_bytes);
      slot.out.reserve(limits.out_bytes);
    }
    for (PieceScratch& scratch : scratch_) {
      scratch.values.reserve(limits.n_values);
      scratch.turned.reserve(limits.n_values);
      scratch.weights.reserve(limits.n_values);
    }
  }
  ~Pipeline() {
    const std::scoped_lock lock(mutex_);
    stopped_ = true;
    free_.notify_all();
    loaded_.notify_all();
  }
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;

  /// Apart from the constructor, so that the destructor stops those that started before one could
  /// not. Errors: kMemory.
  Status start() {
    try {
      threads_.emplace_back([this] { read_all(); });
      for (PieceScratch& scratch : scratch_) {
        threads_.emplace_back([this, &scratch] { encode_all(scratch); });
      }
    } catch (const std::system_error& error) {
      return fail(Errc::kMemory, "cannot start a thread: {}", error.code().message());
    }
    return {};
  }

  Status write_all(const PieceWriter& write, const std::function<bool()>& go_on) {
    while (true) {
      MINKE_ASSIGN(Slot * slot, next_encoded(go_on));
      if (slot == nullptr) return {};
      MINKE_TRY(std::move(slot->status));
      MINKE_TRY(write(slot->piece, slot->out));
      const std::scoped_lock lock(mutex_);
      ++n_written_;
      free_.notify_one();
    }
  }

 private:
  Slot& slot(uint64_t piece) noexcept { return slots_[piece % slots_.size()]; }

  void read_all() {
    for (uint64_t i = 0;; ++i) {
      {
        std::unique_lock lock(mutex_);
        free_.wait(lock, [&] { return stopped_ || i - n_written_ < slots_.size(); });
        if (stopped_) return;
      }
      const std::optional<Piece> piece = pieces_.next();
      if (piece) {
        Slot& own = slot(i);
        own.piece = *piece;
        own.encoded = false;
        own.status = read_piece(*piece, own.bytes);
      }
      const std::scoped_lock lock(mutex_);
      if (piece) {
        n_read_ = i + 1;
        loaded_.notify_one();
      } else {
        n_pieces_ = i;
        loaded_.notify_all();
        encoded_.notify_one();
        return;
      }
    }
  }

  void encode_all(PieceScratch& scratch) {
    while (true) {
      uint64_t i = 0;
      {
        std::unique_lock lock(mutex_);
        loaded_.wait(lock, [&] { return stopped_ || n_taken_ < n_read_ || n_pieces_; });
        if (stopped_ || n_taken_ == n_read_) return;
        i = n_taken_++;
      }
      Slot& own = slot(i);
      if (own.status) own.status = encode_piece(own.piece, own.bytes, scratch, own.out);
      const std::scoped_lock lock(mutex_);
      own.encoded = true;
      if (i == n_written_) encoded_.notify_one();
    }
  }

  /// The slot of the next piece to write; nullptr behind the last.
  Result<Slot*> next_encoded(const std::function<bool()>& go_on) {
    std::unique_lock lock(mutex_);
    const auto is_ready = [&] {
      return n_pieces_ == n_written_ || (n_written_ < n_taken_ && slot(n_written_).encoded);
    };
    while (!encoded_.wait_for(lock, kPatience, is_ready)) {
      lock.unlock();
      if (!go_on()) return fail(Errc::kCancelled, "interrupted");
      lock.lock();
    }
    return n_pieces_ == n_written_ ? nullptr : &slot(n_written_);
  }

  PieceSequence pieces_;  // The reading thread's.
  std::vector<Slot> slots_;
  std::vector<PieceScratch> scratch_;  // One a worker.

  std::mutex mutex_;
  std::condition_variable free_;     // A slot became free.
  std::condition_variable loaded_;   // A piece was read, or there are no more.
  std::condition_variable encoded_;  // The next piece to write is ready.
  uint64_t n_read_ = 0;
  uint64_t n_taken_ = 0;
  uint64_t n_written_ = 0;
  std::optional<uint64_t> n_pieces_;  // Once the last one was read.
  bool stopped_ = false;

  std::vector<std::jthread> threads_;  // Last: they end before what they use goes.
};

}  // namespace

Result<PipelineShape> plan_pipeline(std::span<const PlannedTensor> tensors, int n_threads) {
  const PieceLimits limits = piece_limits(tensors);
  const uint64_t slot_bytes = limits.source_bytes + limits.out_bytes;
  // Decoded values, and once more where they are transposed.
  const uint64_t worker_bytes = 3 * sizeof(float) * uint64_t{limits.n_values};
  const auto total = [&](uint64_t workers) {
    return workers * worker_bytes + (2 * workers + kMinSlots - 1) * slot_bytes;
  };
  auto workers = static_cast<uint64_t>(n_threads);
  while (workers > 1 && total(workers) > kMaxBytes) --workers;
  if (total(workers) > kMaxBytes) {
    return fail(Errc::kMemory,
                "a row, or the keys of one head, need {} bytes of memory (allowed {})",
                total(workers), kMaxBytes);
  }
  return PipelineShape{workers, 2 * workers + kMinSlots - 1, total(workers)};
}

Status run_pipeline(std::span<const PlannedTensor> tensors, const PipelineShape& shape,
                    const PieceWriter& write, const std::function<bool()>& go_on) {
  Pipeline pipeline(tensors, shape);
  MINKE_TRY(pipeline.start());
  return pipeline.write_all(write, go_on);
}

}  // namespace minke::convert
