// `minke chat`: a conversation in the terminal.
#include <memory>

#include "apps/chat_loop.h"
#include "apps/interrupt.h"
#include "apps/model_options.h"

namespace minke::apps {
namespace {

struct ChatOptions {
  ModelOptions model;
  ParameterOptions parameters;
  PromptOptions prompt;
  ColorChoice color = ColorChoice::kAuto;
  bool simple_io = false;
  ChatLoopOptions loop;
};

Status chat(ChatOptions& options) {
  use_utf8_locale();
  MINKE_ASSIGN(std::optional<std::string> first, options.prompt.text());
  MINKE_ASSIGN(LoadedModel loaded, load_model(options.model));
  MINKE_ASSIGN(const ChatTemplate chat_template, options.prompt.chat_template(*loaded.model));
  MINKE_ASSIGN(Parameters parameters, options.parameters.resolve(*loaded.model));
  options.loop.first_message = first.value_or("");
  options.loop.verbose_prompt = options.prompt.verbose_prompt;
  MINKE_TRY(read_into_memory(*loaded.model, options.model.mlock));
  ChatSession session(loaded, chat_template, std::move(parameters), options.prompt.system);
  const Terminal terminal = Terminal::look(options.color);
  const SignalWatch watch;
  std::unique_ptr<LineSource> source =
      options.simple_io ? nullptr : make_editor(terminal, default_history_file());
  if (!source) source = make_plain_lines(terminal);
  return ChatLoop(session, terminal, std::move(source), options.loop).run();
}

}  // namespace

Action setup_chat(CommandLine& line) {
  const auto options = std::make_shared<ChatOptions>();
  CLI::App& app = line.app();
  options->model.add_to(line);
  options->prompt.add_to(line);
  options->parameters.add_to(line);
  app.option_defaults()->group("Chat");
  line.alias("-st", app.add_flag("--single-turn", options->loop.single_turn,
                                 "Leave after the first answer"));
  app.add_option_function<std::string>(
         "--color",
         [options](const std::string& when) {
           options->color = when == "on"    ? ColorChoice::kOn
                            : when == "off" ? ColorChoice::kOff
                                            : ColorChoice::kAuto;
         },
         "Colours: auto (at a terminal), on or off")
      ->check(CLI::IsMember({"auto", "on", "off"}))
      ->type_name("WHEN");
  app.add_flag("--simple-io", options->simple_io,
               "No line editing: for dumb terminals and other programs");
  app.add_flag("-v,--verbose", options->loop.verbose, "Tell what is used, in a pipe too");
  app.footer(
      command_help() +
      "\nThe defaults in brackets are Minke's; a model's own values come before them, and what "
      "is said\nhere or with /set parameter before both: /show parameters.\n\nWhat is typed is "
      "kept in $XDG_STATE_HOME/minke/history (or under "
      "~/.local/state).\nIn a pipe every line is a message or a command, and only answers "
      "go to the standard output.\n\nEvery option --SOME-NAME can also come from the "
      "environment variable MINKE_SOME_NAME;\nthe command line wins.");
  return [options] { return chat(*options); };
}

}  // namespace minke::apps
