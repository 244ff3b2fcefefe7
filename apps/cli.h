// What the subcommands share: how they are declared, parsed and ended.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/result.h"

namespace minke::apps {

/// What a subcommand does once its command line is parsed. An error becomes one line on stderr and
/// the exit code of its kind; a kCancelled error with an empty message prints nothing.
using Action = std::function<Status()>;

/// A command line under construction. The names of flags are those that users of other runtimes
/// know. Every option with a long name can also come from the environment: --top-k from
/// MINKE_TOP_K; the command line wins.
class CommandLine {
 public:
  CommandLine(std::string_view name, std::string_view summary);

  CLI::App& app() noexcept { return app_; }
  /// A second name of one dash and several letters, as in "-ctk", which CLI11 does not know.
  void alias(const std::string& short_name, CLI::Option* option);
  /// Parses the arguments after the subcommand's name. Errors: kUsage; of an unknown flag with the
  /// known one that looks like it. When help was asked for, prints it and gives false.
  Result<bool> parse(std::span<const char* const> arguments);

 private:
  tl::unexpected<Error> unknown(const std::string& word) const;
  /// The words as CLI11 knows them, in its order.
  Result<std::vector<std::string>> translate(std::span<const char* const> arguments) const;

  CLI::App app_;
  std::map<std::string, std::string, std::less<>> aliases_;  // "-ctk" -> "--cache-type-k"
};

/// A usage error, in one line.
template <class... Args>
tl::unexpected<Error> usage(fmt::format_string<Args...> format, Args&&... args) {
  return fail(Errc::kUsage, format, std::forward<Args>(args)...);
}

/// Error kUsage if a conversion to this file was cut off, or still goes on: whoever writes to the
/// same name discards what it did.
Status check_no_leftover(const std::filesystem::path& output);

/// Whether a command may make this file, asked before it reads anything. Errors: kUsage (a
/// directory, a symbolic link; without --force a file that is there, or, but for --resume, what
/// check_no_leftover() finds).
Status check_output_name(const std::filesystem::path& output, bool force, bool resumes = false);

/// Error kUsage if `output`, or what is written on the way to it, is the file `input`, whatever name
/// leads to it.
Status check_not_input(const std::filesystem::path& output, const std::filesystem::path& input);
/// The same of several inputs, as the parts of a model.
Status check_not_input(const std::filesystem::path& output,
                       std::span<const std::filesystem::path> inputs);

/// Runs the program; returns its exit code.
int run(std::span<const char* const> arguments);

/// Prints a line to stderr: "minke: TEXT".
void print_note(std::string_view text);

}  // namespace minke::apps
