#include "apps/generate.h"

#include <algorithm>

#include "apps/interrupt.h"
#include "runtime/utf8.h"

namespace minke::apps {
namespace {

/// Takes in what steps tell of the request.
class Collector {
 public:
  Collector(const Engine& engine, RequestId id, int n_prompt, const Watcher& watcher)
      : engine_(&engine),
        id_(id),
        n_prompt_(n_prompt),
        detokenizer_(engine.runner().model().tokenizer()),
        watcher_(&watcher) {}

  /// Inside a step, with the part of it that is done.
  void look_inside(double part) const {
    if (!watcher_->prompt || n_read_ == n_prompt_) return;
    const int before = n_read_ >= 0 ? n_read_ : engine_->prompt_cached(id_);
    const int n_step = std::min(engine_->runner().n_batch(), n_prompt_ - before);
    watcher_->prompt(before + static_cast<int>(part * n_step), n_prompt_);
  }

  Status take(const Event& event) {
    if (event.kind == Event::Kind::kPrompt) {
      n_read_ = event.prompt_done;
      if (watcher_->prompt) watcher_->prompt(n_read_, n_prompt_);
    } else if (event.kind == Event::Kind::kToken) {
      answer_.tokens.push_back(event.token);
      return add_text(detokenizer_.push(event.token));
    } else {
      finished_ = true;
      if (event.error) return tl::unexpected<Error>(*event.error);
      answer_.reason = event.reason;
      answer_.stats = event;
      return add_text(detokenizer_.finish());
    }
    return {};
  }

  bool finished() const noexcept { return finished_; }
  Answer release() { return std::move(answer_); }

 private:
  Status add_text(const std::string& piece) {
    answer_.text += piece;
    return piece.empty() || !watcher_->text ? Status{} : watcher_->text(piece);
  }

  const Engine* engine_;
  RequestId id_;
  int n_prompt_;
  int n_read_ = -1;  ///< Tokens of the prompt; -1: no step has told.
  StreamDetokenizer detokenizer_;
  const Watcher* watcher_;
  Answer answer_;
  bool finished_ = false;
};

double rate(int tokens, double seconds) { return seconds > 0 ? tokens / seconds : 0; }

/// Lets the engine forget a request that nobody listens to any more.
void abandon(Engine& engine, RequestId id) {
  engine.cancel(id);
  while (!engine.idle()) engine.step();
}

}  // namespace

Result<Answer> generate(Engine& engine, Request request, const Watcher& watcher) {
  const int n_prompt = static_cast<int>(request.prompt.size());
  MINKE_ASSIGN(const RequestId id, engine.submit(std::move(request)));
  Collector collector(engine, id, n_prompt, watcher);
  const StepWatch step_watch = [&](double part) {
    collector.look_inside(part);
    return SignalWatch::interrupts() == 0;
  };
  while (!collector.finished()) {
    if (SignalWatch::interrupts() > 0) engine.cancel(id);
    for (const Event& event : engine.step(step_watch)) {
      if (event.request != id) continue;
      if (Status shown = collector.take(event); !shown) {
        abandon(engine, id);
        return tl::unexpected<Error>(std::move(shown).error());
      }
    }
  }
  return collector.release();
}

std::string describe_timings(const Event& stats) {
  const int read = stats.prompt_done - stats.prompt_cached;
  // The first token comes from the prompt's last step; the EOS is not among the generated ones.
  const int steps = stats.generated - (stats.reason == FinishReason::kEos ? 0 : 1);
  std::string text = fmt::format(
      "prompt {} tokens ({} cached), {:.2f} s, {:.1f} tokens/s; "
      "answer {} tokens, {:.2f} s, {:.1f} tokens/s",
      stats.prompt_tokens, stats.prompt_cached, stats.prompt_seconds,
      rate(read, stats.prompt_seconds), stats.generated, stats.generation_seconds,
      rate(std::max(steps, 0), stats.generation_seconds));
  if (stats.speculated)
    text += fmt::format("; guessed {} tokens, {} right ({:.1f} %), {:.2f} tokens a step",
                        stats.drafted, stats.accepted, 100 * rate(stats.accepted, stats.drafted),
                        rate(std::max(steps, 0), stats.generation_steps));
  return text;
}

std::string describe_tokens(const Tokenizer& tokenizer, const std::vector<TokenId>& tokens) {
  std::string text = fmt::format("prompt of {} tokens:\n", tokens.size());
  for (size_t i = 0; i < tokens.size(); ++i)
    text += fmt::format("{:6}  {:6}  '{}'\n", i, tokens[i],
                        printable(tokenizer.token_bytes(tokens[i])));
  return text;
}

}  // namespace minke::apps
