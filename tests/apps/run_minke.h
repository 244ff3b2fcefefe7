// Runs the program as a user does.
#pragma once

#include <string>
#include <vector>

namespace minke::test {

struct RunResult {
  int exit_code = -1;  ///< -N: ended by signal N.
  std::string out;
  std::string err;
};

/// `minke ARGUMENTS...` with "NAME=VALUE" lines added to the environment; stdin is empty, or
/// `input`.
RunResult run_minke(const std::vector<std::string>& arguments,
                    const std::vector<std::string>& environment = {},
                    const std::string& input = {});

/// Checks that a run ended with this exit code and one line, which has `part` in it.
void check_error(const RunResult& result, int exit_code, const std::string& part);
/// The same, and that nothing was printed before.
void check_refused(const RunResult& result, int exit_code, const std::string& part);

}  // namespace minke::test
