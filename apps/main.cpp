#include <signal.h>

#include <span>

#include "apps/cli.h"
#include "apps/lost_mapping.h"

int main(int argc, char** argv) {
  // A file larger than the user's limit is then an error of write(), not the end of the program.
  signal(SIGXFSZ, SIG_IGN);
  minke::apps::end_cleanly_on_lost_mapping();
  return minke::apps::run(std::span(argv, static_cast<size_t>(argc)).subspan(argc > 0 ? 1 : 0));
}
