#include "apps/chat_info.h"

#include "apps/terminal.h"
#include "runtime/input_file.h"

namespace minke::apps {
namespace {

double mebibytes(size_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

}  // namespace

std::string greeting(ChatSession& session) {
  const LoadedModel& loaded = session.loaded();
  return fmt::format(
      "Minke {}: {}\n"
      "context {} tokens, {} threads ({}), template {}\n"
      "{}\n"
      "/help lists the commands; Ctrl-C stops an answer, Ctrl-D leaves.\n",
      MINKE_VERSION, loaded.describe(), loaded.engine->runner().n_ctx(),
      loaded.backend->n_threads(), loaded.backend->name(), session.chat_template().name(),
      session.parameters().summary());
}

std::string chat_info(ChatSession& session) {
  const LoadedModel& loaded = session.loaded();
  const Runner& runner = loaded.engine->runner();
  const LatentCache::Config& cache = runner.cache().config();
  return fmt::format(
      "  model       {}\n"
      "  file        {}\n"
      "  layers      {}, {} heads, {} of {} experts a token\n"
      "  context     {} tokens, {} used; the model was trained for {}\n"
      "  cache       {}, {:.1f} MiB when full\n"
      "  batch       {} tokens\n"
      "  backend     {}, {} threads\n"
      "  template    {}\n"
      "  sampling    {}\n"
      "  turns       {}",
      loaded.describe(), printable_path(loaded.model->file().path()),
      loaded.model->config().n_layers, loaded.model->config().n_heads,
      loaded.model->config().n_experts_used, loaded.model->config().n_experts, runner.n_ctx(),
      session.n_tokens(), loaded.model->config().n_ctx_train, cache_type_name(cache.type),
      mebibytes(LatentCache::bytes_for(cache, runner.n_ctx())), runner.n_batch(),
      loaded.backend->name(), loaded.backend->n_threads(), session.chat_template().name(),
      session.parameters().summary(), session.conversation().turns.size());
}

std::string template_info(ChatSession& session) {
  const std::vector<ChatMessage> example = {{"system", "SYSTEM TEXT"},
                                            {"user", "FIRST MESSAGE"},
                                            {"assistant", "FIRST ANSWER"},
                                            {"user", "SECOND MESSAGE"}};
  const ChatTemplate& chat_template = session.chat_template();
  const Tokenizer& tokenizer = session.loaded().model->tokenizer();
  return fmt::format("template {}; a conversation is written so:\n{}", chat_template.name(),
                     chat_template.render(tokenizer, example, true));
}

std::string last_turn(const ChatSession& session) {
  if (session.conversation().turns.empty()) return "It is empty.";
  const Turn& turn = session.conversation().turns.back();
  return fmt::format(">>> {}\n{}", without_controls(turn.user), without_controls(turn.answer));
}

}  // namespace minke::apps
