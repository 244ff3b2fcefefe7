#include "apps/cli.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <new>
#include <system_error>
#include <vector>

#include "runtime/utf8.h"

namespace minke::apps {

#define MINKE_COMMAND(name, summary) Action setup_##name(CommandLine& line);
#include "apps/commands.inc"
#undef MINKE_COMMAND

namespace {

struct Command {
  std::string_view name;
  std::string_view summary;
  Action (*setup)(CommandLine& line);
};

constexpr std::array kCommands = {
#define MINKE_COMMAND(name, summary) Command{#name, summary, setup_##name},
#include "apps/commands.inc"
#undef MINKE_COMMAND
};

std::string program_help() {
  std::string text =
      "Minke runs language models of the DeepSeek-V2 family.\n\n"
      "Usage: minke COMMAND [OPTION...]\n\nCommands:\n";
  for (const Command& command : kCommands) {
    text += fmt::format("  {:<12}{}\n", command.name, command.summary);
  }
  return text +
         "\n`minke COMMAND --help` explains a command; `minke --version` prints the version.\n"
         "Exit codes: 0 done; 1 usage or load error; 65 a file's content is bad; 66 a file is\n"
         "missing; 74 input or output failed; 130 interrupted.\n";
}

std::string command_names() {
  std::string text;
  for (const Command& command : kCommands) {
    text += fmt::format("{}{}", text.empty() ? "" : ", ", command.name);
  }
  return text;
}

/// CLI11's messages may span lines; ours are one.
std::string one_line(std::string text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back()))) text.pop_back();
  std::ranges::replace(text, '\n', ' ');
  return printable(text, 1000);
}

std::string environment_name(std::string_view long_name) {
  std::string name = "MINKE_";
  for (const char c : long_name) {
    name += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  return name;
}

Status run_command(const Command& command, std::span<const char* const> arguments) {
  CommandLine line(command.name, command.summary);
  const Action action = command.setup(line);
  MINKE_ASSIGN(const bool go_on, line.parse(arguments));
  return go_on ? action() : Status{};
}

Status dispatch(std::span<const char* const> arguments) {
  if (arguments.empty()) return usage("no command (known: {}; see minke --help)", command_names());
  std::string_view name = arguments[0];
  if (name == "--version") {
    fmt::print("minke {}\n", MINKE_VERSION);
    return {};
  }
  const bool help = name == "--help" || name == "-h" || name == "help";
  if (help && arguments.size() == 1) {
    fmt::print("{}", program_help());
    return {};
  }
  static constexpr std::array<const char*, 1> kHelp = {"--help"};
  if (name == "help") {  // minke help COMMAND
    name = arguments[1];
    arguments = std::span(kHelp);
  } else {
    arguments = arguments.subspan(1);
  }
  const auto command = std::ranges::find(kCommands, name, &Command::name);
  if (command == kCommands.end()) {
    return usage("unknown command '{}' (known: {}; see minke --help)", printable(name),
                 command_names());
  }
  return run_command(*command, arguments);
}

/// Output that is still in the buffer may meet a full disk.
Status flush_stdout() {
  errno = 0;
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return {};
  return fail(Errc::kIo, "cannot write the output: {}",
              errno != 0 ? std::generic_category().message(errno) : "the device is full or gone");
}

/// The library gives errors as values; what is caught here comes from the standard library.
Status dispatch_and_flush(std::span<const char* const> arguments) {
  try {
    MINKE_TRY(dispatch(arguments));
    return flush_stdout();
  } catch (const std::bad_alloc&) {
    return fail(Errc::kMemory, "not enough memory");
  } catch (const std::system_error& error) {
    return fail(Errc::kIo, "{}", one_line(error.what()));
  } catch (const std::exception& error) {
    return fail(Errc::kDevice, "{}", one_line(error.what()));
  }
}

}  // namespace

CommandLine::CommandLine(std::string_view name, std::string_view summary)
    : app_(std::string(summary), fmt::format("minke {}", name)) {
  app_.get_formatter()->column_width(36);
  // A flag given again wins over the one before: scripts add to what they were given.
  app_.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app_.footer(
      "\nEvery option --SOME-NAME can also come from the environment variable "
      "MINKE_SOME_NAME;\nthe command line wins.");
}

void CommandLine::alias(const std::string& short_name, CLI::Option* option) {
  MINKE_CHECK(!option->get_lnames().empty(), "{}", option->get_name());
  aliases_[short_name] = "--" + option->get_lnames().front();
  option->description(fmt::format("{} (also {})", option->get_description(), short_name));
}

Result<bool> CommandLine::parse(std::span<const char* const> arguments) {
  for (CLI::Option* option : app_.get_options()) {
    const bool named = !option->get_lnames().empty();
    if (!named || option == app_.get_help_ptr()) continue;
    option->envname(environment_name(option->get_lnames().front()));
  }
  std::vector<std::string> words;
  bool only_positional = false;
  for (const std::string word : arguments) {
    only_positional |= word == "--";
    const auto alias = only_positional ? aliases_.end() : aliases_.find(word);
    words.push_back(alias != aliases_.end() ? alias->second : word);
  }
  std::ranges::reverse(words);  // as CLI11's parse wants them
  try {
    app_.parse(std::move(words));
    return true;
  } catch (const CLI::CallForHelp&) {
    fmt::print("{}", app_.help());
    return false;
  } catch (const CLI::ParseError& error) {
    // What is unknown comes first: CLI11 would rather speak of what is missing.
    if (const auto unknown = app_.remaining(); !unknown.empty()) {
      return usage("unknown argument '{}' (see {} --help)", printable(unknown.front()),
                   app_.get_name());
    }
    return usage("{} (see {} --help)", one_line(error.what()), app_.get_name());
  }
}

void print_note(std::string_view text) { fmt::print(stderr, "minke: {}\n", text); }

int run(std::span<const char* const> arguments) {
  const Status status = dispatch_and_flush(arguments);
  if (status) return 0;
  const Error& error = status.error();
  if (!error.message.empty()) print_note(error.message);
  return exit_code(error.code);
}

}  // namespace minke::apps
