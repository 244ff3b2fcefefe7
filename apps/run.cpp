// `minke run`: answers one prompt.
#include <unistd.h>

#include <memory>

#include "apps/answer_filter.h"
#include "apps/conversation.h"
#include "apps/generate.h"
#include "apps/interrupt.h"
#include "apps/model_options.h"
#include "apps/terminal.h"
#include "apps/text_input.h"

namespace minke::apps {
namespace {

struct RunOptions {
  ModelOptions model;
  ParameterOptions parameters;
  PromptOptions prompt;
  bool raw = false;           ///< The prompt as it is, without a template.
  bool conversation = false;  ///< The template must be there.
  bool verbose = false;
};

/// nullopt: the prompt is read as it is.
Result<std::optional<ChatTemplate>> choose_template(const RunOptions& options, const Model& model) {
  const bool has_one =
      options.prompt.names_template() || model.file().has("tokenizer.chat_template");
  if (options.raw || (!has_one && !options.conversation)) return std::nullopt;
  MINKE_ASSIGN(const ChatTemplate chat_template, options.prompt.chat_template(model));
  return chat_template;
}

Result<std::string> prompt_text(const RunOptions& options) {
  MINKE_ASSIGN(std::optional<std::string> text, options.prompt.text());
  if (!text && isatty(STDIN_FILENO) != 0)
    return usage("no prompt: give -p TEXT, -f FILE or a pipe (minke chat holds a conversation)");
  if (!text) {
    MINKE_ASSIGN(text, read_stdin());
    if (text->empty()) return usage("the prompt is empty: give -p TEXT, -f FILE or a pipe");
  }
  return std::move(*text);
}

std::vector<TokenId> plain_tokens(const std::string& text, const Tokenizer& tokenizer) {
  std::vector<TokenId> ids;
  if (tokenizer.add_bos()) ids.push_back(tokenizer.bos());
  const std::vector<TokenId> more = tokenizer.encode(text);
  ids.insert(ids.end(), more.begin(), more.end());
  return ids;
}

Result<Answer> stream_answer(LoadedModel& loaded, Request request,
                             const std::optional<ChatTemplate>& chat_template) {
  const Terminal terminal = Terminal::look(ColorChoice::kOff);
  AnswerPrinter printer(terminal);
  ProgressLine progress(terminal);
  AnswerFilter filter(chat_template);
  const Watcher watcher{.text =
                            [&](std::string_view piece) {
                              progress.clear();
                              return printer.write(filter.push(piece));
                            },
                        .prompt = [&](int done, int total) { progress.show(done, total); }};
  Result<Answer> answer = generate(*loaded.engine, std::move(request), watcher);
  progress.clear();
  MINKE_TRY(printer.end_line());
  return answer;
}

Status run(const RunOptions& options) {
  use_utf8_locale();
  MINKE_ASSIGN(const std::string text, prompt_text(options));
  MINKE_ASSIGN(LoadedModel loaded, load_model(options.model));
  const Tokenizer& tokenizer = loaded.model->tokenizer();
  MINKE_ASSIGN(const auto chat_template, choose_template(options, *loaded.model));
  MINKE_ASSIGN(const Parameters parameters, options.parameters.resolve(*loaded.model));
  Request request;
  const Conversation start{.system = options.prompt.system, .turns = {}};
  if (!chat_template && !options.raw)
    print_note("the file has no chat template: the prompt is read as it is (see --chat-template)");
  request.prompt = chat_template ? prompt_tokens(start, text, *chat_template, tokenizer)
                                 : plain_tokens(text, tokenizer);
  request.max_tokens = parameters.values().n_predict;
  request.ignore_eos = parameters.values().ignore_eos;
  request.speculation = parameters.values().speculation;
  MINKE_ASSIGN(request.sampling, parameters.sampling(tokenizer));
  if (options.verbose)
    write_stderr(fmt::format(
        "{}\ncontext {} tokens, {} threads ({}), template {}\n{}", loaded.describe(),
        loaded.engine->runner().n_ctx(), loaded.backend->n_threads(), loaded.backend->name(),
        chat_template ? chat_template->name() : "none", parameters.describe()));
  if (options.prompt.verbose_prompt) write_stderr(describe_tokens(tokenizer, request.prompt));
  MINKE_TRY(read_into_memory(*loaded.model, options.model.mlock));
  const SignalWatch watch;
  MINKE_ASSIGN(const Answer answer, stream_answer(loaded, std::move(request), chat_template));
  if (parameters.values().timings)
    write_stderr(fmt::format("[{}]\n", describe_timings(answer.stats)));
  if (answer.reason == FinishReason::kCancelled) return fail(Errc::kCancelled, "");
  if (answer.reason == FinishReason::kContextFull)
    print_note(fmt::format("the answer ends here: the context is full ({} tokens, see -c)",
                           loaded.engine->runner().n_ctx()));
  return {};
}

}  // namespace

Action setup_run(CommandLine& line) {
  const auto options = std::make_shared<RunOptions>();
  CLI::App& app = line.app();
  options->model.add_to(line);
  options->prompt.add_to(line);
  options->parameters.add_to(line);
  app.option_defaults()->group("Run");
  CLI::Option* raw = app.add_flag("--raw,--no-conversation", options->raw,
                                  "Read the prompt as it is, without the chat template");
  line.alias("-no-cnv", raw);
  CLI::Option* conversation = app.add_flag("--conversation", options->conversation,
                                           "Apply the chat template, and fail where there is none")
                                  ->excludes(raw);
  line.alias("-cnv", conversation);
  app.add_flag("-v,--verbose", options->verbose, "Tell what is used, on the standard error");
  return [options] { return run(*options); };
}

}  // namespace minke::apps
