#include "apps/chat_loop.h"

#include <algorithm>
#include <cstdio>

#include "apps/answer_filter.h"
#include "apps/chat_info.h"
#include "apps/interrupt.h"
#include "apps/text_input.h"
#include "runtime/utf8.h"

namespace minke::apps {

ChatLoop::ChatLoop(ChatSession& session, const Terminal& terminal,
                   std::unique_ptr<LineSource> source, ChatLoopOptions options)
    : session_(&session),
      terminal_(terminal),
      source_(std::move(source)),
      options_(std::move(options)) {}

void ChatLoop::note(std::string_view text) const { write_stderr(terminal_.dim(text) + "\n"); }

void ChatLoop::failed(const Error& error) {
  print_note(error.message);
  // The line is told: what is left is the exit code.
  const bool output_lost = error.code == Errc::kIo && std::ferror(stdout) != 0;
  if (status_ && (!terminal_.interactive() || output_lost))
    status_ = tl::unexpected<Error>(Error{error.code, ""});
  if (output_lost) done_ = true;
}

Status ChatLoop::run() {
  if (terminal_.interactive())
    note(greeting(*session_));
  else if (options_.verbose)
    note(chat_info(*session_));
  if (!options_.first_message.empty()) {
    if (terminal_.interactive()) show_first_message();
    answer(options_.first_message);
    if (options_.single_turn) done_ = true;
  }
  while (!done_) {
    SignalWatch::clear_interrupts();
    const Input input = read_message(*source_, terminal_);
    if (input.kind == Input::Kind::kEnd) break;
    done_ |= input.kind == Input::Kind::kInterrupt ? !interrupted(input) : !handle(input);
  }
  return status_;
}

/// As if it had been typed; of a long one, the beginning.
void ChatLoop::show_first_message() const {
  constexpr size_t kShown = 1000;
  const std::string& text = options_.first_message;
  size_t end = std::min(kShown, text.size());
  while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  fmt::print("{}{}{}\n", terminal_.bold(">>> "), without_controls(text.substr(0, end)),
             end < text.size() ? fmt::format("... ({} bytes)", text.size()) : "");
}

bool ChatLoop::interrupted(const Input& input) {
  if (terminal_.interactive() && (input.discarded || !one_more_leaves_)) {
    one_more_leaves_ = !input.discarded;
    if (!input.discarded) note("Ctrl-C once more, Ctrl-D or /bye leaves.");
    return true;
  }
  status_ = fail(Errc::kCancelled, "");
  return false;
}

bool ChatLoop::handle(const Input& input) {
  one_more_leaves_ = false;
  const bool blank = input.text.find_first_not_of(" \t\r\n") == std::string::npos;
  if (blank) return true;
  if (!is_valid_utf8(input.text)) {
    failed({Errc::kContent, "the message is not UTF-8 text: it was not sent"});
    return true;
  }
  if (input.quoted || !is_command(input.text)) {
    answer(input.text);
    return !options_.single_turn;
  }
  const Result<ChatCommand> command = parse_command(input.text);
  if (command) return obey(*command);
  failed(command.error());
  return true;
}

bool ChatLoop::obey(const ChatCommand& command) {
  using Kind = ChatCommand::Kind;
  switch (command.kind) {
    case Kind::kLeave:
      return false;
    case Kind::kHelp:
      note(command_help());
      break;
    case Kind::kClear:
      session_->clear();
      pending_text_.clear();
      note("The conversation is forgotten.");
      break;
    case Kind::kRegenerate:
      stream([this](const Watcher& watcher) { return session_->regenerate(watcher); });
      break;
    case Kind::kSave:
      if (const Status saved = session_->save(command.argument); saved)
        note(fmt::format("Saved {} turns to {}.", session_->conversation().turns.size(),
                         printable(command.argument)));
      else
        failed(saved.error());
      break;
    case Kind::kLoad:
      load(command.argument);
      break;
    case Kind::kRead:
      read_file(command.argument);
      break;
    case Kind::kSetParameter:
      set_parameter(command);
      break;
    case Kind::kSetSystem:
      session_->set_system(command.argument);
      note(command.argument.empty() ? "There is no system text now."
                                    : "The system text is set; the conversation stays.");
      break;
    case Kind::kShowInfo:
      note(chat_info(*session_));
      break;
    case Kind::kShowParameters:
      note(session_->parameters().describe());
      break;
    case Kind::kShowSystem:
      note(session_->conversation().system.empty()
               ? "There is no system text."
               : without_controls(session_->conversation().system));
      break;
    case Kind::kShowTemplate:
      note(template_info(*session_));
      break;
  }
  return true;
}

void ChatLoop::load(const std::string& path) {
  if (const Status loaded = session_->load(path); !loaded) return failed(loaded.error());
  note(fmt::format("Loaded {} turns from {}.", session_->conversation().turns.size(),
                   printable(path)));
  if (terminal_.interactive()) note(last_turn(*session_));
}

void ChatLoop::read_file(const std::string& path) {
  const Result<std::string> text = read_text_file(path);
  if (!text) return failed(text.error());
  pending_text_ += *text + "\n\n";
  note(fmt::format("{}: {} bytes will stand before your next message.", printable(path),
                   text->size()));
}

void ChatLoop::set_parameter(const ChatCommand& command) {
  const std::string name = command.name;
  if (name == "num_ctx" || name == "ctx_size" || name == "ctx-size")
    return failed({Errc::kUsage, "the context's size is fixed at start: use -c"});
  Parameters changed = session_->parameters();
  Status set = changed.set(name, command.argument);
  // It must also fit the vocabulary and the other values.
  if (set)
    if (const auto usable = changed.sampling(session_->loaded().model->tokenizer()); !usable)
      set = tl::unexpected<Error>(usable.error());
  if (!set) return failed(set.error());
  session_->parameters() = std::move(changed);
  const ParameterInfo* info = find_parameter(name);
  note(fmt::format("{} is {} now.", info->name, info->print(session_->parameters().values())));
}

void ChatLoop::answer(const std::string& message) {
  const std::string whole = pending_text_ + message;
  if (options_.verbose_prompt)
    note(describe_tokens(session_->loaded().model->tokenizer(), session_->prompt_for(whole)));
  const size_t n_turns = session_->conversation().turns.size();
  stream([&](const Watcher& watcher) { return session_->say(whole, watcher); });
  if (session_->conversation().turns.size() > n_turns)
    pending_text_.clear();
  else if (!pending_text_.empty())
    note("What was read from files still stands before the next message; /clear drops it.");
}

void ChatLoop::stream(const std::function<Result<Answer>(const Watcher&)>& ask) {
  SignalWatch::clear_interrupts();
  AnswerPrinter printer(terminal_);
  ProgressLine progress(terminal_);
  AnswerFilter filter(session_->chat_template());
  Watcher watcher;
  watcher.text = [&](std::string_view piece) {
    progress.clear();
    return printer.write(filter.push(piece));
  };
  watcher.prompt = [&](int done, int total) { progress.show(done, total); };
  Result<Answer> answer = [&] {
    const QuietTyping quiet(terminal_);
    return ask(watcher);
  }();
  progress.clear();
  if (Status ended = printer.end_line(); !ended && answer)
    answer = tl::unexpected<Error>(std::move(ended).error());
  if (!answer) return failed(answer.error());
  tell_end(*answer);
  if (terminal_.interactive()) fmt::print("\n");
}

void ChatLoop::tell_end(const Answer& answer) {
  if (answer.reason == FinishReason::kContextFull)
    failed({Errc::kUsage,
            fmt::format("the context is full ({} tokens): /clear forgets the conversation, a "
                        "larger -c holds more",
                        session_->loaded().engine->runner().n_ctx())});
  if (session_->parameters().values().timings)
    note(fmt::format("[{}]", describe_timings(answer.stats)));
  if (answer.reason != FinishReason::kCancelled) return;
  one_more_leaves_ = true;
  const bool leave = !terminal_.interactive() || SignalWatch::interrupts() > 1;
  if (!leave) return note("[stopped]");
  status_ = fail(Errc::kCancelled, "");
  done_ = true;
}

}  // namespace minke::apps
