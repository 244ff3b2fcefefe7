#include "apps/chat_session.h"

#include "apps/cli.h"
#include "runtime/input_file.h"

namespace minke::apps {

ChatSession::ChatSession(LoadedModel& loaded, ChatTemplate chat_template, Parameters parameters,
                         std::string system)
    : loaded_(&loaded), template_(chat_template), parameters_(std::move(parameters)) {
  conversation_.system = std::move(system);
}

std::vector<TokenId> ChatSession::prompt_for(std::string_view message) const {
  return prompt_tokens(conversation_, message, template_, loaded_->model->tokenizer());
}

Result<Answer> ChatSession::say(const std::string& message, const Watcher& watcher) {
  Request request;
  request.prompt = prompt_for(message);
  const int n_ctx = loaded_->engine->runner().n_ctx();
  if (request.prompt.size() > static_cast<size_t>(n_ctx))
    return fail(Errc::kUsage,
                "the conversation would have {} tokens, the context holds {}: /clear forgets it, "
                "a larger -c holds more",
                request.prompt.size(), n_ctx);
  MINKE_ASSIGN(request.sampling, parameters_.sampling(loaded_->model->tokenizer()));
  request.sampling.seed += n_regenerated_;
  request.max_tokens = parameters_.values().n_predict;
  request.ignore_eos = parameters_.values().ignore_eos;
  request.speculation = parameters_.values().speculation;
  MINKE_ASSIGN(Answer answer, generate(*loaded_->engine, std::move(request), watcher));
  if (!answer.tokens.empty() || answer.reason != FinishReason::kCancelled) {
    conversation_.turns.push_back(
        {message, std::string(template_.answer_content(answer.text)), answer.tokens});
    n_tokens_ = answer.stats.prompt_tokens + answer.stats.generated;
    n_regenerated_ = 0;
  }
  return answer;
}

Result<Answer> ChatSession::regenerate(const Watcher& watcher) {
  if (conversation_.turns.empty())
    return fail(Errc::kUsage, "there is no answer yet that could be made anew");
  Turn last = std::move(conversation_.turns.back());
  conversation_.turns.pop_back();
  const size_t n_turns = conversation_.turns.size();
  const uint64_t n_regenerated = ++n_regenerated_;
  Result<Answer> answer = say(last.user, watcher);
  if (conversation_.turns.size() == n_turns) conversation_.turns.push_back(std::move(last));
  n_regenerated_ = n_regenerated;
  return answer;
}

void ChatSession::clear() {
  conversation_.turns.clear();
  n_tokens_ = 0;
  n_regenerated_ = 0;
}

Status ChatSession::save(const std::filesystem::path& path) const {
  MINKE_TRY(check_not_input(path, loaded_->model->file().part_paths()));
  MINKE_TRY(check_no_leftover(path));
  SavedSession saved{identity_of(*loaded_->model, template_), conversation_, {}};
  for (const ParameterInfo& info : parameter_table())
    if (!info.repeats) saved.parameters[std::string(info.name)] = info.print(parameters_.values());
  return save_session(path, saved);
}

Status ChatSession::load(const std::filesystem::path& path) {
  MINKE_ASSIGN(SavedSession saved, load_session(path, identity_of(*loaded_->model, template_)));
  Parameters changed = parameters_;
  for (const auto& [name, value] : saved.parameters)
    if (const Status set = changed.set(name, value); !set)
      return fail(Errc::kContent, "{}: {}", printable_path(path), set.error().message);
  if (const auto usable = changed.sampling(loaded_->model->tokenizer()); !usable)
    return fail(Errc::kContent, "{}: {}", printable_path(path), usable.error().message);
  parameters_ = std::move(changed);
  conversation_ = std::move(saved.conversation);
  n_regenerated_ = 0;
  n_tokens_ = 0;
  return {};
}

}  // namespace minke::apps
