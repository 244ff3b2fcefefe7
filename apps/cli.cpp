#include "apps/cli.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <new>
#include <numeric>
#include <system_error>
#include <utility>
#include <vector>

#include "apps/terminal.h"
#include "convert/journal.h"
#include "runtime/input_file.h"
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

/// Letters to add, take away or change to get from a to b.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i + 1);
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t changed = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = std::exchange(row[j + 1], std::min({changed, row[j] + 1, row[j + 1] + 1}));
    }
  }
  return row.back();
}

/// A single dash and a name of letters, as in "-ngl": CLI11 takes it for -n with the value "gl".
bool is_short_word(std::string_view word) {
  const auto letter = [word](size_t i) {
    return std::isalpha(static_cast<unsigned char>(word[i]));
  };
  return word.size() > 2 && word[0] == '-' && letter(1) && letter(2);
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

tl::unexpected<Error> CommandLine::unknown(const std::string& word) const {
  std::string wanted = word.substr(0, word.find('='));
  std::ranges::replace(wanted, '_', '-');
  std::string nearest;
  size_t least = (wanted.size() - std::min(wanted.find_first_not_of('-'), wanted.size())) / 4 + 1;
  const auto consider = [&](const std::string& known) {
    const bool begins = wanted.size() > 4 && known.starts_with(wanted);
    const size_t distance = begins ? 0 : edit_distance(wanted, known);
    if (distance < least || (distance == least && known.size() < nearest.size())) {
      least = distance;
      nearest = known;
    }
  };
  if (wanted.starts_with('-')) {
    for (const CLI::Option* option : app_.get_options())
      for (const std::string& name : option->get_lnames()) consider("--" + name);
    for (const auto& [alias, name] : aliases_) consider(alias);
  }
  return usage("unknown argument '{}' ({}see {} --help)", printable(word),
               nearest.empty() ? "" : fmt::format("did you mean {}? ", nearest), app_.get_name());
}

Result<std::vector<std::string>> CommandLine::translate(
    std::span<const char* const> arguments) const {
  std::vector<std::string> words;
  bool only_positional = false, is_value = false;
  for (std::string word : arguments) {
    only_positional |= word == "--" && !is_value;
    if (!only_positional && !is_value) {
      if (const auto alias = aliases_.find(word); alias != aliases_.end())
        word = alias->second;
      else if (is_short_word(word))
        return unknown(word);
      const CLI::Option* option = word.starts_with('-') ? app_.get_option_no_throw(word) : nullptr;
      is_value = option != nullptr && option->get_items_expected_min() > 0;
    } else {
      is_value = false;
    }
    words.push_back(std::move(word));
  }
  std::ranges::reverse(words);  // as CLI11's parse wants them
  return words;
}

Result<bool> CommandLine::parse(std::span<const char* const> arguments) {
  for (CLI::Option* option : app_.get_options()) {
    const bool named = !option->get_lnames().empty();
    if (!named || option == app_.get_help_ptr()) continue;
    option->envname(environment_name(option->get_lnames().front()));
  }
  MINKE_ASSIGN(std::vector<std::string> words, translate(arguments));
  try {
    app_.parse(std::move(words));
  } catch (const CLI::CallForHelp&) {
    fmt::print("{}", app_.help());
    return false;
  } catch (const CLI::ParseError& error) {
    // What is unknown comes first: CLI11 would rather speak of what is missing.
    if (const auto rest = app_.remaining(); !rest.empty()) return unknown(rest.front());
    return usage("{} (see {} --help)", one_line(error.what()), app_.get_name());
  }
  // An unset variable in a script gives "", which must not read as "not said".
  for (const CLI::Option* option : app_.get_options()) {
    const bool names = option->get_type_name() == "FILE" || option->get_type_name() == "T" ||
                       option->get_type_name() == "NAME";
    if (names && std::ranges::count(option->reduced_results(), "") > 0)
      return usage("{}: the value is empty (see {} --help)", option->get_name(), app_.get_name());
  }
  return true;
}

Status check_no_leftover(const std::filesystem::path& output) {
  std::error_code ignored;
  if (!std::filesystem::exists(convert::Journal::path_for(output), ignored)) return {};
  return usage(
      "{}.partial: of a conversion to this file that was cut off, or still goes on (minke convert "
      "and quantize finish it with --resume, discard it with --force)",
      printable_path(output));
}

Status check_output_name(const std::filesystem::path& output, bool force, bool resumes) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  const fs::file_status status = fs::symlink_status(output, ignored);
  const std::string name = printable_path(output);
  if (fs::is_directory(status)) return usage("{}: is a directory (give the name of a file)", name);
  if (fs::is_symlink(status))
    return usage("{}: is a symbolic link (give the name of the file itself)", name);
  if (fs::exists(status) && !force)
    return usage("{}: is already there (--force replaces it)", name);
  return force || resumes ? Status{} : check_no_leftover(output);
}

Status check_not_input(const std::filesystem::path& output, const std::filesystem::path& input) {
  std::filesystem::path partial = output;
  partial += ".partial";
  for (const auto& written : {output, partial, convert::Journal::path_for(output)}) {
    std::error_code ignored;
    if (std::filesystem::equivalent(written, input, ignored))
      return usage("{}: is what is read: give the output another name", printable_path(written));
  }
  return {};
}

Status check_not_input(const std::filesystem::path& output,
                       std::span<const std::filesystem::path> inputs) {
  for (const auto& input : inputs) MINKE_TRY(check_not_input(output, input));
  return {};
}

void print_note(std::string_view text) { write_stderr(fmt::format("minke: {}\n", text)); }

int run(std::span<const char* const> arguments) {
  const Status status = dispatch_and_flush(arguments);
  if (status) return 0;
  const Error& error = status.error();
  if (!error.message.empty()) print_note(error.message);
  return exit_code(error.code);
}

}  // namespace minke::apps
