#include <doctest/doctest.h>
#include <unistd.h>

#include "tests/apps/app_model.h"
#include "tests/apps/run_minke.h"
#include "tests/locked_memory.h"
#include "tests/support.h"

using namespace minke::test;

TEST_CASE("run: --mlock keeps the file in memory, or says which limit forbids it") {
  if (!mlock_is_real()) {
    MESSAGE("SKIPPED: sanitizers leave mlock() out");
    return;
  }
  const std::string model = tiny_model_file().string();
  // Root may do so whatever the limit, unless that right is taken away.
  std::vector<std::string> words;
  if (geteuid() == 0) words = {"setpriv", "--bounding-set=-ipc_lock"};
  for (const char* word : {"sh", "-c", "ulimit -l 0 && exec \"$0\" \"$@\"", MINKE_BINARY, "run",
                           "-m", model.c_str(), "-p", "A b", "-n", "4", "--temp", "0"})
    words.emplace_back(word);
  const ProgramResult without = run_program(words);
  if (without.exit_code != 0) {
    MESSAGE("SKIPPED: setpriv and a limit of 0 are not possible here");
    return;
  }
  words.emplace_back("--mlock");
  const ProgramResult with = run_program(words);
  check_refused({with.exit_code, with.out, with.err}, 1, model + ": cannot keep");
  CHECK(with.err.find("ulimit -l") != std::string::npos);
}
