#include "models/engine.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <optional>

namespace minke {
namespace {

using Clock = std::chrono::steady_clock;

/// Steps with more rows guess nothing: from 48 rows on float products may go to oneDNN, which sums
/// in another order, and a guess must not change the answer.
constexpr int kMostRowsWithDrafts = 32;

struct Waiting {
  RequestId id;
  Request request;
  Sampler sampler;
  bool cancelled = false;
};

/// A request that has a sequence.
struct Active {
  Waiting what;
  int prompt_cached = 0;
  int generated = 0;
  double prompt_seconds = 0, generation_seconds = 0;
  int generation_steps = 0, drafted = 0, accepted = 0;
  NgramDrafter drafter;
};

/// Why a request ends.
struct Ending {
  FinishReason reason;
  std::optional<Error> error = {};
};

/// A sequence of the cache: what it holds, and the request that uses it, if any.
struct Slot {
  LatentCache::Sequence sequence;
  std::vector<TokenId> tokens;  ///< Prompt and generated; the cache holds the first cached().
  std::vector<TokenId> draft;   ///< What may come next: guesses that the step tries.
  std::optional<Active> active;
  uint64_t last_used = 0;
};

size_t common_prefix(std::span<const TokenId> a, std::span<const TokenId> b) noexcept {
  return static_cast<size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
}

}  // namespace

struct Engine::Impl {
  std::unique_ptr<Runner> runner;
  std::deque<Waiting> waiting;
  std::vector<Slot> slots;
  RequestId next_id = 1;
  uint64_t clock = 0;

  // The batch of a step.
  struct Part {
    Slot* slot;
    int n_tokens;
    bool generating;  ///< Its last token is followed by a sampled one.
  };

  int cached(const Slot& slot) const { return runner->cache().length(slot.sequence); }
  size_t n_vocab() const { return static_cast<size_t>(runner->model().config().n_vocab); }
  void start_waiting(std::vector<Event>& events);
  Slot* best_slot(const Request& request);
  std::vector<Part> choose_parts(std::vector<Event>& events);
  void draft(std::span<const Part> parts);
  static bool drop_drafts(std::span<const Part> parts);
  Result<std::span<const float>> run_tokens(std::span<const Part> parts, const StepWatch& watch);
  void run_parts(std::span<const Part> parts, const StepWatch& watch, std::vector<Event>& events);
  void advance(Slot& slot, std::span<const float> logits, std::vector<Event>& events);
  std::optional<Ending> choose(Slot& slot, int n_cached, std::span<const float> logits,
                               std::vector<Event>& events);
  void finish(Slot& slot, Ending ending, std::vector<Event>& events);
  Event event(const Slot& slot, Event::Kind kind) const;
};

Engine::Engine() : impl_(std::make_unique<Impl>()) {}
Engine::~Engine() = default;
const Runner& Engine::runner() const noexcept { return *impl_->runner; }

Result<std::unique_ptr<Engine>> Engine::create(const Model& model, Backend& backend,
                                               const RunnerConfig& config) {
  std::unique_ptr<Engine> engine(new Engine());
  RunnerConfig with_drafts = config;
  with_drafts.max_outputs = std::max(config.max_outputs, kMostRowsWithDrafts);
  MINKE_ASSIGN(engine->impl_->runner, Runner::create(model, backend, with_drafts));
  for (int i = 0; i < config.n_sequences; ++i)
    engine->impl_->slots.push_back({engine->impl_->runner->cache().add_sequence(), {}, {}, {}, 0});
  return engine;
}

Result<RequestId> Engine::submit(Request request) {
  const int n_ctx = impl_->runner->n_ctx(), n_vocab = impl_->runner->model().config().n_vocab;
  if (request.prompt.empty()) return fail(Errc::kUsage, "the prompt is empty");
  if (request.prompt.size() > static_cast<size_t>(n_ctx))
    return fail(Errc::kUsage,
                "the prompt has {} tokens, the context holds {}: raise -c or shorten it",
                request.prompt.size(), n_ctx);
  for (const TokenId id : request.prompt)
    if (id < 0 || id >= n_vocab)
      return fail(Errc::kUsage, "token {} is not in the vocabulary of {}", id, n_vocab);
  if (request.speculation.on) MINKE_TRY(check(request.speculation));
  MINKE_ASSIGN(Sampler sampler, Sampler::create(request.sampling, n_vocab));
  for (const TokenId id : request.prompt) sampler.accept(id);
  const RequestId id = impl_->next_id++;
  impl_->waiting.push_back({id, std::move(request), std::move(sampler)});
  return id;
}

void Engine::cancel(RequestId id) {
  for (Waiting& w : impl_->waiting)
    if (w.id == id) w.cancelled = true;
  for (Slot& slot : impl_->slots)
    if (slot.active && slot.active->what.id == id) slot.active->what.cancelled = true;
}

bool Engine::idle() const noexcept {
  return impl_->waiting.empty() &&
         std::ranges::none_of(impl_->slots, [](const Slot& s) { return s.active.has_value(); });
}

void Engine::clear_cache() {
  for (Slot& slot : impl_->slots) {
    if (slot.active) continue;
    impl_->runner->cache().truncate(slot.sequence, 0);
    slot.tokens.clear();
  }
}

Event Engine::Impl::event(const Slot& slot, Event::Kind kind) const {
  const Active& a = *slot.active;
  const int prompt = static_cast<int>(a.what.request.prompt.size());
  return {.request = a.what.id,
          .kind = kind,
          .prompt_tokens = prompt,
          .prompt_cached = a.prompt_cached,
          .prompt_done = std::min(prompt, cached(slot)),
          .generated = a.generated,
          .prompt_seconds = a.prompt_seconds,
          .generation_seconds = a.generation_seconds,
          .generation_steps = a.generation_steps,
          .speculated = a.what.request.speculation.on,
          .drafted = a.drafted,
          .accepted = a.accepted};
}

void Engine::Impl::finish(Slot& slot, Ending ending, std::vector<Event>& events) {
  Event e = event(slot, Event::Kind::kFinished);
  e.reason = ending.reason;
  e.error = std::move(ending.error);
  events.push_back(std::move(e));
  slot.tokens.resize(static_cast<size_t>(cached(slot)));
  slot.active.reset();
}

/// Gives free sequences to waiting requests, in order.
void Engine::Impl::start_waiting(std::vector<Event>& events) {
  std::erase_if(waiting, [&](const Waiting& w) {
    if (w.cancelled)
      events.push_back({.request = w.id,
                        .kind = Event::Kind::kFinished,
                        .reason = FinishReason::kCancelled,
                        .prompt_tokens = static_cast<int>(w.request.prompt.size())});
    return w.cancelled;
  });
  while (!waiting.empty()) {
    Slot* slot = best_slot(waiting.front().request);
    if (slot == nullptr) return;
    const NgramDrafter drafter(waiting.front().request.speculation);
    slot->active.emplace(Active{.what = std::move(waiting.front()), .drafter = drafter});
    waiting.pop_front();
    slot->active->prompt_cached = cached(*slot);
    slot->tokens = slot->active->what.request.prompt;
  }
}

/// A free slot whose sequence holds as much of the prompt as any sequence does; null if all are
/// busy. The last token of the prompt is always run, since its logits are needed.
Slot* Engine::Impl::best_slot(const Request& request) {
  const auto reusable = [&](const Slot& slot) {
    const std::span<const TokenId> held(slot.tokens.data(), static_cast<size_t>(cached(slot)));
    return std::min(common_prefix(request.prompt, held), request.prompt.size() - 1);
  };
  Slot *best = nullptr, *oldest = nullptr, *source = nullptr;
  for (Slot& slot : slots) {
    if (source == nullptr || reusable(slot) > reusable(*source)) source = &slot;
    if (slot.active) continue;
    if (best == nullptr || reusable(slot) > reusable(*best)) best = &slot;
    if (oldest == nullptr || slot.last_used < oldest->last_used) oldest = &slot;
  }
  if (best == nullptr) return nullptr;
  const size_t n = reusable(*source);
  if (reusable(*best) == n && n > 0) {
    runner->cache().truncate(best->sequence, static_cast<int>(n));
    return best;
  }
  // A busy sequence holds more of the prompt, or none does: take the slot unused for longest.
  LatentCache::Sequence fresh = runner->cache().fork(source->sequence, static_cast<int>(n));
  runner->cache().release(oldest->sequence);
  oldest->sequence = fresh;
  return oldest;
}

std::vector<Engine::Impl::Part> Engine::Impl::choose_parts(std::vector<Event>& events) {
  std::vector<Part> parts;
  int room = runner->n_batch(), outputs = runner->max_outputs();
  const auto pending = [&](const Slot& s) { return static_cast<int>(s.tokens.size()) - cached(s); };
  for (Slot& slot : slots)
    if (slot.active && slot.active->what.cancelled)
      finish(slot, {FinishReason::kCancelled}, events);
  // Running sequences go first: one token each. Then prompts fill what room is left, in the order
  // in which they came.
  std::vector<Slot*> order;
  for (Slot& slot : slots)
    if (slot.active) order.push_back(&slot);
  std::ranges::sort(order, {}, [](const Slot* slot) {
    return std::pair(slot->active->generated == 0, slot->active->what.id);
  });
  for (Slot* slot : order) {
    const int n = std::min(pending(*slot), room);
    if (n == 0 || outputs == 0) continue;
    room -= n;
    --outputs;
    parts.push_back({slot, n, n == pending(*slot)});
  }
  return parts;
}

/// Guesses what the answers go on with, in the room that the step has left.
void Engine::Impl::draft(std::span<const Part> parts) {
  StepOutlook step;
  int room = std::min(kMostRowsWithDrafts, runner->n_batch());
  for (const Part& part : parts) {
    part.slot->draft.clear();
    step.rows += part.n_tokens;
    step.tokens += part.generating ? 1 : 0;
  }
  for (const Part& part : parts) {
    Slot& slot = *part.slot;
    const Active& a = *slot.active;
    const Request& request = a.what.request;
    if (!request.speculation.on || a.generated == 0) continue;
    int most = std::min(room - step.rows, runner->n_ctx() - cached(slot) - 1);
    // The step gives one token more than there are right guesses.
    if (request.max_tokens >= 0) most = std::min(most, request.max_tokens - a.generated - 1);
    a.drafter.draft(slot.tokens, runner->model().tokenizer().eos(), most, step, slot.draft);
  }
}

/// False if there were none.
bool Engine::Impl::drop_drafts(std::span<const Part> parts) {
  bool any = false;
  for (const Part& part : parts) {
    any = any || !part.slot->draft.empty();
    part.slot->draft.clear();
  }
  return any;
}

/// Logits of the last token of each part that generates, and of its draft.
Result<std::span<const float>> Engine::Impl::run_tokens(std::span<const Part> parts,
                                                        const StepWatch& watch) {
  std::vector<Runner::Item> items;
  for (const Part& part : parts) {
    Slot& slot = *part.slot;
    slot.tokens.insert(slot.tokens.end(), slot.draft.begin(), slot.draft.end());
    const size_t n_drafted = slot.draft.size();
    items.push_back({.sequence = slot.sequence,
                     .tokens = std::span(slot.tokens)
                                   .subspan(static_cast<size_t>(cached(slot)),
                                            static_cast<size_t>(part.n_tokens) + n_drafted),
                     .n_outputs = part.generating ? 1 + static_cast<int>(n_drafted) : 0,
                     .one_by_one = n_drafted > 0});
  }
  Result<std::span<const float>> logits = runner->forward(items, watch);
  for (const Part& part : parts)
    part.slot->tokens.resize(part.slot->tokens.size() - part.slot->draft.size());
  return logits;
}

void Engine::Impl::run_parts(std::span<const Part> parts, const StepWatch& watch,
                             std::vector<Event>& events) {
  draft(parts);
  const Clock::time_point start = Clock::now();
  Result<std::span<const float>> logits = run_tokens(parts, watch);
  // A guess that would be rejected must not fail the answer, nor those beside it.
  if (!logits && logits.error().code == Errc::kContent && drop_drafts(parts))
    logits = run_tokens(parts, watch);
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  if (!logits && logits.error().code == Errc::kCancelled) return;
  if (!logits) {
    for (const Part& part : parts)
      finish(*part.slot, {FinishReason::kError, logits.error()}, events);
    return;
  }
  for (const Part& part : parts) {
    Active& a = *part.slot->active;
    part.slot->last_used = ++clock;
    (a.generated > 0 ? a.generation_seconds : a.prompt_seconds) += seconds;
    if (a.generated > 0) ++a.generation_steps;
    if (a.generated == 0) events.push_back(event(*part.slot, Event::Kind::kPrompt));
    if (!part.generating) continue;
    const size_t n_logits = (1 + part.slot->draft.size()) * n_vocab();
    advance(*part.slot, logits->first(n_logits), events);
    *logits = logits->subspan(n_logits);
  }
}

/// Chooses the next token of a sequence, and those after it as long as the draft has guessed right.
/// The cache keeps what it would hold without a draft.
void Engine::Impl::advance(Slot& slot, std::span<const float> logits, std::vector<Event>& events) {
  Active& a = *slot.active;
  const size_t n_drafted = slot.draft.size();
  const int before = cached(slot) - static_cast<int>(n_drafted);
  a.drafted += static_cast<int>(n_drafted);
  size_t n_right = 0;
  std::optional<Ending> ending;
  while (true) {
    ending = choose(slot, before + static_cast<int>(n_right),
                    logits.subspan(n_right * n_vocab(), n_vocab()), events);
    if (ending || n_right == n_drafted || slot.tokens.back() != slot.draft[n_right]) break;
    ++n_right;
    ++a.accepted;
  }
  runner->cache().truncate(slot.sequence, before + static_cast<int>(n_right));
  if (ending) finish(slot, std::move(*ending), events);
}

/// Chooses the next token of a sequence, of which the cache holds n_cached tokens then, and decides
/// whether it goes on.
std::optional<Ending> Engine::Impl::choose(Slot& slot, int n_cached, std::span<const float> logits,
                                           std::vector<Event>& events) {
  Active& a = *slot.active;
  const Request& request = a.what.request;
  if (request.max_tokens == 0) return Ending{FinishReason::kMaxTokens};
  const Result<TokenId> sampled = a.what.sampler.sample(logits);
  if (!sampled) return Ending{FinishReason::kError, sampled.error()};
  const TokenId token = *sampled;
  if (!request.ignore_eos && token == runner->model().tokenizer().eos())
    return Ending{FinishReason::kEos};
  a.what.sampler.accept(token);
  ++a.generated;
  slot.tokens.push_back(token);
  if (request.speculation.on) a.drafter.update(slot.tokens);
  events.push_back(event(slot, Event::Kind::kToken));
  events.back().token = token;
  if (request.max_tokens >= 0 && a.generated >= request.max_tokens)
    return Ending{FinishReason::kMaxTokens};
  if (n_cached >= runner->n_ctx()) return Ending{FinishReason::kContextFull};
  return std::nullopt;
}

int Engine::prompt_cached(RequestId id) const noexcept {
  for (const Slot& slot : impl_->slots)
    if (slot.active && slot.active->what.id == id) return slot.active->prompt_cached;
  return 0;
}

std::vector<Event> Engine::step(const StepWatch& watch) {
  std::vector<Event> events;
  impl_->start_waiting(events);
  const std::vector<Impl::Part> parts = impl_->choose_parts(events);
  if (!parts.empty()) impl_->run_parts(parts, watch, events);
  return events;
}

}  // namespace minke
