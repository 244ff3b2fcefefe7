#include "tests/apps/run_minke.h"

#include "tests/support.h"

namespace minke::test {

RunResult run_minke(const std::vector<std::string>& arguments,
                    const std::vector<std::string>& environment, const std::string& input) {
  std::vector<std::string> argv = {"env"};
  argv.insert(argv.end(), environment.begin(), environment.end());
  argv.emplace_back(MINKE_BINARY);
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  const ProgramResult result = run_program(argv, input);
  return {result.exit_code, result.out, result.err};
}

}  // namespace minke::test
