#include "apps/lost_mapping.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <string_view>

#include "runtime/mmap.h"
#include "runtime/result.h"

namespace minke::apps {
namespace {

void put(std::string_view text) noexcept {
  const ssize_t ignored = write(STDERR_FILENO, text.data(), text.size());
  (void)ignored;  // There is nothing left to do about it.
}

/// Whether a thread has begun to tell.
std::atomic_flag told = ATOMIC_FLAG_INIT;

/// Only calls that are allowed in a signal handler.
void on_bus_error(int, siginfo_t* info, void*) {
  if (info->si_code != BUS_ADRERR) {
    // Without this handler the signal ends us, once this one is handled.
    signal(SIGBUS, SIG_DFL);
    raise(SIGBUS);
    return;
  }
  // All workers may come here at once: the first ends the program, the others wait for that.
  while (told.test_and_set()) pause();
  const char* file = mapped_file_at(info->si_addr);
  put("minke: ");
  put(file != nullptr ? file : "a file in use");
  put(": became shorter or could not be read (is it being replaced?)\n");
  _exit(exit_code(Errc::kIo));
}

}  // namespace

void end_cleanly_on_lost_mapping() noexcept {
  struct sigaction action {};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGBUS, &action, nullptr);
}

}  // namespace minke::apps
