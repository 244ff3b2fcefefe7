#include "apps/chat_commands.h"

#include <doctest/doctest.h>

#include <cstdlib>

using namespace minke;
using namespace minke::apps;
using Kind = ChatCommand::Kind;

namespace {

ChatCommand parsed(std::string_view text) {
  const auto command = parse_command(text);
  REQUIRE_MESSAGE(command.has_value(), (command ? "" : command.error().message));
  return *command;
}

std::string refusal(std::string_view text) {
  const auto command = parse_command(text);
  REQUIRE(!command.has_value());
  CHECK(command.error().code == Errc::kUsage);
  CHECK(command.error().message.find('\n') == std::string::npos);
  return command.error().message;
}

}  // namespace

TEST_CASE("chat commands: every one of them by its name") {
  CHECK(parsed("/bye").kind == Kind::kLeave);
  CHECK(parsed("/exit").kind == Kind::kLeave);
  CHECK(parsed("/clear").kind == Kind::kClear);
  CHECK(parsed("/regen").kind == Kind::kRegenerate);
  CHECK(parsed("/help").kind == Kind::kHelp);
  CHECK(parsed("/show info").kind == Kind::kShowInfo);
  CHECK(parsed("/show parameters").kind == Kind::kShowParameters);
  CHECK(parsed("/show system").kind == Kind::kShowSystem);
  CHECK(parsed("/show template").kind == Kind::kShowTemplate);
  CHECK(parsed("  /show \t template  ").kind == Kind::kShowTemplate);
}

TEST_CASE("chat commands: arguments keep their blanks, files lose their quotes") {
  CHECK(parsed("/save my chat.json ").argument == "my chat.json");
  CHECK(parsed("/load \"my chat.json\"").argument == "my chat.json");
  CHECK(parsed("/read 'a b'").argument == "a b");
  CHECK(parsed("/set system You are  a cat.").argument == "You are  a cat.");
  CHECK(parsed("/set system").argument.empty());
  const ChatCommand set = parsed("/set parameter dry-sequence-breaker a b");
  CHECK(set.kind == Kind::kSetParameter);
  CHECK(set.name == "dry-sequence-breaker");
  CHECK(set.argument == "a b");
  setenv("HOME", "/home/somebody", 1);
  CHECK(parsed("/save ~/x").argument == "/home/somebody/x");
}

TEST_CASE("chat commands: what is wrong is said") {
  CHECK(refusal("/nonsense").find("/nonsense") != std::string::npos);
  CHECK(refusal("/byebye").find("unknown") != std::string::npos);
  CHECK(refusal("/save").find("/save FILE") != std::string::npos);
  CHECK(refusal("/set parameter temp").find("NAME VALUE") != std::string::npos);
  CHECK(refusal("/clear all").find("/clear") != std::string::npos);
  CHECK(refusal("/show").find("/show template") != std::string::npos);
  CHECK(refusal("/set").find("/set system") != std::string::npos);
  CHECK(refusal("/show nothing").find("/show info") != std::string::npos);
  CHECK(refusal("/\x1b[2J").find('\x1b') == std::string::npos);
  CHECK(refusal("/").find("unknown") != std::string::npos);
}

TEST_CASE("chat commands: the help names every command") {
  const std::string help = command_help();
  for (const char* name :
       {"/bye", "/exit", "/clear", "/regen", "/save FILE", "/load FILE", "/read FILE",
        "/set parameter NAME VALUE", "/set system TEXT", "/show info", "/show parameters",
        "/show system", "/show template", "/help", "\"\"\"", "Ctrl-C", "Ctrl-D"}) {
    INFO(name);
    CHECK(help.find(name) != std::string::npos);
  }
}

TEST_CASE("chat commands: a slash first makes a command, elsewhere it is text") {
  CHECK(is_command("/help"));
  CHECK(is_command("  /help"));
  CHECK(!is_command("1/2"));
  CHECK(!is_command(""));
}
