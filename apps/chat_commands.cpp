#include "apps/chat_commands.h"

#include <array>
#include <cstdlib>
#include <optional>

#include "runtime/utf8.h"

namespace minke::apps {
namespace {

using Kind = ChatCommand::Kind;

enum class Takes { kNothing, kFile, kNameAndValue, kText };

struct Known {
  std::string_view words;  ///< As typed: one word or two.
  Kind kind;
  Takes takes;
  std::string_view arguments, help;
};

constexpr std::array kCommands = {
    Known{"/help", Kind::kHelp, Takes::kNothing, "", "Show this list (also /?)"},
    Known{"/?", Kind::kHelp, Takes::kNothing, "", ""},
    Known{"/clear", Kind::kClear, Takes::kNothing, "", "Forget the conversation"},
    Known{"/regen", Kind::kRegenerate, Takes::kNothing, "", "Answer the last message anew"},
    Known{"/read", Kind::kRead, Takes::kFile, "FILE", "Put a text file before the next message"},
    Known{"/save", Kind::kSave, Takes::kFile, "FILE", "Save the conversation"},
    Known{"/load", Kind::kLoad, Takes::kFile, "FILE", "Go on with a saved conversation"},
    Known{"/set parameter", Kind::kSetParameter, Takes::kNameAndValue, "NAME VALUE",
          "Change temp, top_k, seed, predict, timings, ..."},
    Known{"/set system", Kind::kSetSystem, Takes::kText, "TEXT",
          "Change the system text; empty: none"},
    Known{"/show info", Kind::kShowInfo, Takes::kNothing, "", "Model, context, threads"},
    Known{"/show parameters", Kind::kShowParameters, Takes::kNothing, "",
          "All parameters and where each comes from"},
    Known{"/show system", Kind::kShowSystem, Takes::kNothing, "", "The system text"},
    Known{"/show template", Kind::kShowTemplate, Takes::kNothing, "",
          "How a conversation is written for the model"},
    Known{"/bye", Kind::kLeave, Takes::kNothing, "", "Leave (also /exit, Ctrl-D)"},
    Known{"/exit", Kind::kLeave, Takes::kNothing, "", ""},
    Known{"/quit", Kind::kLeave, Takes::kNothing, "", ""},
};

std::string_view trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

/// Takes the first word off `text`.
std::string_view take_word(std::string_view& text) {
  text = trim(text);
  const size_t end = std::min(text.find_first_of(" \t\r\n"), text.size());
  const std::string_view word = text.substr(0, end);
  text = trim(text.substr(end));
  return word;
}

/// The command's words, one blank between them.
std::string_view second_word_of(std::string_view words) {
  const size_t blank = words.find(' ');
  return blank == std::string_view::npos ? std::string_view{} : words.substr(blank + 1);
}

/// Finds the command and takes its words off `text`.
const Known* find_command(std::string_view& text) {
  const std::string_view first = take_word(text);
  for (const Known& known : kCommands) {
    if (known.words.substr(0, known.words.find(' ')) != first) continue;
    const std::string_view second = second_word_of(known.words);
    if (second.empty()) return &known;
    std::string_view rest = text;
    if (take_word(rest) != second) continue;
    text = rest;
    return &known;
  }
  return nullptr;
}

tl::unexpected<Error> unknown(std::string_view text) {
  const std::string_view first = take_word(text);
  std::string choices;
  for (const Known& known : kCommands) {
    const std::string_view second = second_word_of(known.words);
    if (!second.empty() && known.words.starts_with(first) && known.words[first.size()] == ' ')
      choices += fmt::format("{}{}", choices.empty() ? "" : ", ", known.words);
  }
  if (!choices.empty()) return fail(Errc::kUsage, "say one of: {}", choices);
  return fail(Errc::kUsage,
              "unknown command '{}' (/help lists them; to say it to the model, put it between "
              "\"\"\")",
              printable(first));
}

}  // namespace

bool is_command(std::string_view text) noexcept { return trim(text).starts_with('/'); }

Result<ChatCommand> parse_command(std::string_view text) {
  std::string_view rest = text;
  const Known* known = find_command(rest);
  if (known == nullptr) return unknown(text);
  ChatCommand command{known->kind, {}, {}};
  const auto misused = [known] {
    return fail(Errc::kUsage, "it is: {}{}{}", known->words, known->arguments.empty() ? "" : " ",
                known->arguments);
  };
  switch (known->takes) {
    case Takes::kNothing:
      if (!rest.empty()) return misused();
      break;
    case Takes::kFile:
      if (rest.empty()) return misused();
      command.argument = expand_path(rest);
      break;
    case Takes::kNameAndValue:
      command.name = take_word(rest);
      command.argument = rest;
      if (command.name.empty() || rest.empty()) return misused();
      break;
    case Takes::kText:
      command.argument = rest;
      break;
  }
  return command;
}

std::string command_help() {
  std::string text = "Commands:\n";
  for (const Known& known : kCommands) {
    if (known.help.empty()) continue;
    text +=
        fmt::format("  {:<31}{}\n", fmt::format("{} {}", known.words, known.arguments), known.help);
  }
  return text +
         "Keys and quotes:\n"
         "  \"\"\"                            Begin a message of several lines; \"\"\" ends it\n"
         "  Ctrl-C                         Stop the answer; at an empty line twice: leave\n"
         "  Ctrl-D                         Leave\n"
         "  Up, Down, Ctrl-R               Earlier lines, search in them\n"
         "  Ctrl-A, Ctrl-E, Ctrl-W, Ctrl-U Move and delete in the line\n";
}

std::string expand_path(std::string_view typed) {
  typed = trim(typed);
  const bool quoted = typed.size() >= 2 && (typed.front() == '"' || typed.front() == '\'') &&
                      typed.front() == typed.back();
  if (quoted) return std::string(typed.substr(1, typed.size() - 2));
  const char* const home = std::getenv("HOME");
  if (typed.starts_with("~/") && home != nullptr) return home + std::string(typed.substr(1));
  return std::string(typed);
}

}  // namespace minke::apps
