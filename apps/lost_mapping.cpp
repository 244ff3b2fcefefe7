#include "apps/lost_mapping.h"

#include <signal.h>
#include <unistd.h>

#include <string_view>

#include "runtime/mmap.h"
#include "runtime/result.h"

namespace minke::apps {
namespace {

void put(std::string_view text) noexcept {
  const ssize_t ignored = write(STDERR_FILENO, text.data(), text.size());
  (void)ignored;  // There is nothing left to do about it.
}

/// Only calls that are allowed in a signal handler.
void on_bus_error(int, siginfo_t* info, void*) {
  // Back at the faulting instruction without this handler: the signal comes again and ends us.
  if (info->si_code != BUS_ADRERR) return;
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
  action.sa_flags = static_cast<int>(SA_SIGINFO | SA_RESETHAND);
  sigaction(SIGBUS, &action, nullptr);
}

}  // namespace minke::apps
