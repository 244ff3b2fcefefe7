#include "tests/apps/run_minke.h"

#include <doctest/doctest.h>

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

void check_error(const RunResult& result, int exit_code, const std::string& part) {
  INFO(result.err);
  CHECK(result.exit_code == exit_code);
  CHECK(result.err.starts_with("minke: "));
  CHECK(result.err.find(part) != std::string::npos);
  // One line: the only line break is its end.
  CHECK(result.err.find('\n') == result.err.size() - 1);
}

void check_refused(const RunResult& result, int exit_code, const std::string& part) {
  check_error(result, exit_code, part);
  CHECK(result.out.empty());
}

}  // namespace minke::test
