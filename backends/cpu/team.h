// The threads of one step: one parallel region, a spinning barrier, and loops whose tasks are
// claimed one by one, so that a slow core takes fewer.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "backends/cpu/kernel_table.h"
#include "runtime/step.h"

namespace minke::cpu {

/// Shared by the workers of one step.
class Team {
 public:
  /// Before a step, by one thread.
  void reset(int n_workers) noexcept {
    n_workers_ = n_workers;
    stopped_.store(false, std::memory_order_relaxed);
    for (Claim& claim : claims_) claim.next.store(0, std::memory_order_relaxed);
  }

  void barrier() noexcept {
    if (n_workers_ == 1) return;
    const unsigned round = round_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == n_workers_) {
      arrived_.store(0, std::memory_order_relaxed);
      round_.store(round + 1, std::memory_order_release);
      round_.notify_all();
      return;
    }
    for (int spins = 0; spins < kSpins; ++spins) {
      if (round_.load(std::memory_order_acquire) != round) return;
      pause();
    }
    // More workers than free cores: sleep, so that the late one can run.
    round_.wait(round, std::memory_order_acquire);
  }

  /// From now on loops do nothing. Once a worker has met that, every worker meets it behind the
  /// next barrier: nobody reads what a loop left undone.
  void stop() noexcept { stopped_.store(true, std::memory_order_relaxed); }
  bool stopped() const noexcept { return stopped_.load(std::memory_order_relaxed); }

  int n_workers() const noexcept { return n_workers_; }
  int claim(size_t loop) noexcept {
    return claims_[loop % kRing].next.fetch_add(1, std::memory_order_relaxed);
  }
  /// Makes the counter of a far later loop ready. Workers are never half a ring of loops apart,
  /// since plans have a barrier every few loops.
  void prepare_later(size_t loop) noexcept {
    claims_[(loop + kRing / 2) % kRing].next.store(0, std::memory_order_relaxed);
  }

 private:
  static constexpr int kSpins = 4000;
  static constexpr size_t kRing = 256;
  struct alignas(64) Claim {
    std::atomic<int> next{0};
  };
  static void pause() noexcept {
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
  }

  std::array<Claim, kRing> claims_;
  int n_workers_ = 1;
  std::atomic<bool> stopped_{false};
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<unsigned> round_{0};
};

/// One thread's part in a step. All workers run the same code and meet the same loops and barriers.
class Worker {
 public:
  /// The step's watcher, or null, goes to the worker of the thread that called run().
  Worker(Team& team, int index, const KernelTable& kernels, std::byte* scratch,
         const StepWatch* watch) noexcept
      : kernels_(&kernels), team_(&team), scratch_(scratch), watch_(watch), index_(index) {}

  int index() const noexcept { return index_; }
  int n_workers() const noexcept { return team_->n_workers(); }
  const KernelTable& kernels() const noexcept { return *kernels_; }
  /// Memory of this worker alone.
  std::byte* scratch() const noexcept { return scratch_; }
  void barrier() noexcept { team_->barrier(); }
  /// True if what loops before the last barrier made may be missing. What is not in a loop and uses
  /// such values as indices looks at it first.
  bool stopped() const noexcept { return team_->stopped(); }
  /// Asks the watcher; false once the step is stopped. For tasks that may take longer than a moment:
  /// they may leave their work undone then.
  bool goes_on() noexcept {
    if (team_->stopped()) return false;
    if (watch_ != nullptr && !(*watch_)(part_done_)) team_->stop();
    return !team_->stopped();
  }
  /// What the watcher is told, 0 to 1.
  void set_part_done(double part) noexcept { part_done_ = part; }

  /// Runs body(task) for every task in 0..n_tasks-1, each on one of the workers, in no order; fewer
  /// or none once the step is stopped. The loop ends without a barrier.
  template <class Body>
  void parallel_for(int n_tasks, Body&& body) noexcept {
    const size_t loop = loop_++;
    if (index_ == 0) team_->prepare_later(loop);
    for (int task = team_->claim(loop); goes_on() && task < n_tasks; task = team_->claim(loop))
      body(task);
  }

 private:
  const KernelTable* kernels_;
  Team* team_;
  std::byte* scratch_;
  const StepWatch* watch_;
  double part_done_ = 0;
  int index_;
  size_t loop_ = 0;
};

}  // namespace minke::cpu
