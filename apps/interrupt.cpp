#include "apps/interrupt.h"

#include <signal.h>

#include <array>
#include <atomic>

namespace minke::apps {
namespace {

// Lock-free, so that a handler may touch them.
std::atomic<int> interrupt_count{0};
std::atomic<bool> terminal_changed{false};
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

void on_signal(int number) {
  if (number == SIGINT)
    interrupt_count.fetch_add(1, std::memory_order_relaxed);
  else
    terminal_changed.store(true, std::memory_order_relaxed);
}

constexpr std::array kSignals = {SIGINT, SIGWINCH, SIGCONT};
std::array<struct sigaction, kSignals.size()> before;

}  // namespace

SignalWatch::SignalWatch() {
  clear_interrupts();
  struct sigaction action = {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  // Without SA_RESTART for SIGINT: a read of the next line ends with EINTR.
  for (size_t i = 0; i < kSignals.size(); ++i) {
    action.sa_flags = kSignals[i] == SIGINT ? 0 : SA_RESTART;
    sigaction(kSignals[i], &action, &before[i]);
  }
}

SignalWatch::~SignalWatch() {
  for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &before[i], nullptr);
}

int SignalWatch::interrupts() noexcept { return interrupt_count.load(std::memory_order_relaxed); }
void SignalWatch::clear_interrupts() noexcept {
  interrupt_count.store(0, std::memory_order_relaxed);
}
bool SignalWatch::take_terminal_change() noexcept {
  return terminal_changed.exchange(false, std::memory_order_relaxed);
}

}  // namespace minke::apps
