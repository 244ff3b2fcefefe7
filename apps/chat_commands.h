// The commands that a user can give inside a chat: "/save FILE" and the like.
#pragma once

#include <string>
#include <string_view>

#include "runtime/result.h"

namespace minke::apps {

struct ChatCommand {
  enum class Kind {
    kLeave,
    kClear,
    kRegenerate,
    kSave,          ///< argument: the file
    kLoad,          ///< argument: the file
    kRead,          ///< argument: the file
    kSetParameter,  ///< name, argument: the value
    kSetSystem,     ///< argument: the text, may be empty
    kShowInfo,
    kShowParameters,
    kShowSystem,
    kShowTemplate,
    kHelp,
  };
  Kind kind = Kind::kHelp;
  std::string name;
  std::string argument;
};

/// True for texts that are commands: their first character is '/'.
bool is_command(std::string_view text) noexcept;

/// Errors: kUsage (an unknown command, an argument missing or too many).
Result<ChatCommand> parse_command(std::string_view text);

/// What /help prints.
std::string command_help();

/// A file name as typed: quotes around it go, "~/" becomes the home directory.
std::string expand_path(std::string_view typed);

}  // namespace minke::apps
