#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <span>

#include "apps/cli.h"
#include "apps/lost_mapping.h"

namespace {

/// A standard stream that is closed would be the next file that is opened, and get its text.
void keep_standard_streams_open() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (fcntl(stream, F_GETFD) == -1) open("/dev/null", O_RDWR);
}

}  // namespace

int main(int argc, char** argv) {
  keep_standard_streams_open();
  // A file larger than the user's limit is then an error of write(), not the end of the program.
  signal(SIGXFSZ, SIG_IGN);
  minke::apps::end_cleanly_on_lost_mapping();
  return minke::apps::run(std::span(argv, static_cast<size_t>(argc)).subspan(argc > 0 ? 1 : 0));
}
