// Speculation changes nothing but the time: the same tokens, the same cache.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "backends/cpu/cpu_backend.h"
#include "backends/cpu/isa.h"
#include "tests/models/requests.h"
#include "tests/models/tiny_model.h"

using namespace minke;
using namespace minke::test;

namespace {

const TempDir& models_dir() {
  static const TempDir dir;
  return dir;
}

const Model& tiny(const std::string& name, const char* recipe) {
  static std::map<std::string, std::unique_ptr<Model>> models;
  auto& model = models[name + recipe];
  if (!model) model = open_tiny_model(name, models_dir(), recipe);
  return *model;
}

const Model& demo() {
  static const auto model =
      Model::open(std::string(MINKE_SOURCE_DIR) + "/models/demo/minke-demo-q8_0.gguf");
  REQUIRE(model);
  return **model;
}

constexpr int kAhead = 32;

/// Reads `before` tokens, then kAhead more: one step each, and all in one step of n rows.
class AheadRows {
 public:
  AheadRows(const Model& model, Backend& backend, CacheType cache, int before)
      : tokens_(some_tokens(before + kAhead, 3, 250)),
        n_vocab_(static_cast<size_t>(model.config().n_vocab)) {
    auto runner = Runner::create(
        model, backend,
        {.n_ctx = 1280, .n_sequences = 2, .max_outputs = kAhead, .cache_type = cache});
    REQUIRE_MESSAGE(runner, (runner ? "" : runner.error().message));
    runner_ = std::move(*runner);
    const std::span<const TokenId> all = tokens_;
    alone_ = runner_->cache().add_sequence();
    for (size_t at = 0; at < static_cast<size_t>(before); at += 512)
      run(alone_, all.subspan(at, std::min<size_t>(512, static_cast<size_t>(before) - at)), 0,
          false);
    together_ = runner_->cache().fork(alone_, before);
    for (size_t i = 0; i < kAhead; ++i)
      expected_.push_back(run(alone_, all.subspan(static_cast<size_t>(before) + i, 1), 1, false));
  }

  /// Whether n rows at once give the bits of n steps, and leave nothing when they are taken back.
  bool same_bits(int n) {
    const int before = static_cast<int>(tokens_.size()) - kAhead;
    const auto ahead = std::span<const TokenId>(tokens_).last(kAhead);
    const auto logits = run(together_, ahead.first(static_cast<size_t>(n)), n, true);
    bool same = true;
    for (size_t i = 0; i < static_cast<size_t>(n); ++i)
      same = same && equal(std::span(logits).subspan(i * n_vocab_, n_vocab_), expected_[i]);
    // The first token was right, the others wrong.
    runner_->cache().truncate(together_, before + 1);
    same = same && equal(run(together_, ahead.subspan(1, 1), 1, false), expected_[1]);
    runner_->cache().truncate(together_, before);
    return same;
  }

 private:
  std::vector<float> run(LatentCache::Sequence sequence, std::span<const TokenId> tokens,
                         int n_outputs, bool one_by_one) {
    const Runner::Item item{sequence, tokens, n_outputs, one_by_one};
    const auto logits = runner_->forward({&item, 1});
    REQUIRE_MESSAGE(logits, (logits ? "" : logits.error().message));
    return {logits->begin(), logits->end()};
  }
  static bool equal(std::span<const float> a, std::span<const float> b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
  }

  std::unique_ptr<Runner> runner_;
  std::vector<TokenId> tokens_;
  size_t n_vocab_;
  LatentCache::Sequence alone_ = 0, together_ = 0;
  std::vector<std::vector<float>> expected_;
};

void check_rows(const Model& model, CacheType cache, const CpuOptions& options,
                const std::vector<int>& all_before) {
  const auto backend = make_cpu_backend(options);
  REQUIRE(backend);
  for (const int before : all_before) {
    AheadRows rows(model, **backend, cache, before);
    for (const int n : {2, 5, 9, 32}) {
      INFO(options.isa << ", " << n << " rows behind " << before << " tokens");
      CHECK(rows.same_bits(n));
    }
  }
}

}  // namespace

TEST_CASE("rows that are read one by one in one step have the bits of as many steps") {
  for (const cpu::KernelTable* kernels : cpu::available_kernels())
    check_rows(tiny("tiny-lite", "F32"), CacheType::kF16, {.n_threads = 1, .isa = kernels->name},
               {40});
  // Across the borders of blocks, and of the lengths from which the cache is split over threads.
  for (const CacheType type : {kDefaultCacheType, CacheType::kF16})
    check_rows(tiny("tiny-236b", "Q8_0"), type, {.n_threads = 2}, {1, 500, 1010});
  check_rows(tiny("tiny-lite-bf16", "BF16"), CacheType::kBF16, {.n_threads = 1}, {40});
  check_rows(tiny("tiny-236b", "F32"), CacheType::kF32,
             {.n_threads = 1, .mla_form = cpu::MlaForm::kRebuilt}, {40});
  check_rows(demo(), kDefaultCacheType, {.n_threads = 2}, {40});
  check_rows(demo(), CacheType::kQ6, {.n_threads = 1}, {40});
}

namespace {

struct Counts {
  int drafted = 0, accepted = 0;
};

/// A request, and one that goes on with what it left in the cache.
struct Turns {
  Outcome first, second;
  int cached;  ///< After the first.
};

Turns run_turns(Engine& engine, const Request& request) {
  engine.clear_cache();
  Turns turns;
  turns.first = run_one(engine, request);
  turns.cached = engine.runner().cached_tokens();
  Request next = request;
  next.prompt.insert(next.prompt.end(), turns.first.tokens.begin(), turns.first.tokens.end());
  next.prompt.push_back(7);
  next.max_tokens = 8;
  if (next.prompt.size() + 8 < static_cast<size_t>(engine.runner().n_ctx()))
    turns.second = run_one(engine, next);
  return turns;
}

/// Every way to guess gives what none gives, and leaves the same in the cache.
Counts check_same(const Model& model, Backend& backend, const Request& plain, int n_ctx = 256) {
  const auto engine = make_engine(model, backend, n_ctx);
  const Turns expected = run_turns(*engine, plain);
  CHECK(expected.first.last.drafted == 0);
  Counts counts;
  for (const Speculation& speculation : kSpeculations) {
    INFO("drafts of " << speculation.draft_min << " to " << speculation.draft_max);
    Request request = plain;
    request.speculation = speculation;
    const Turns turns = run_turns(*engine, request);
    const Event &last = turns.first.last, &expected_last = expected.first.last;
    CHECK(turns.first.tokens == expected.first.tokens);
    CHECK(turns.second.tokens == expected.second.tokens);
    CHECK(turns.cached == expected.cached);
    CHECK(turns.second.last.prompt_cached == expected.second.last.prompt_cached);
    CHECK(last.reason == expected_last.reason);
    CHECK(last.generated == expected_last.generated);
    CHECK(last.accepted <= last.drafted);
    CHECK(last.generation_steps <= expected_last.generation_steps);
    counts.drafted += last.drafted;
    counts.accepted += last.accepted;
  }
  return counts;
}

}  // namespace

TEST_CASE("the same tokens with and without speculation: greedy, sampled, one and two threads") {
  for (const int n_threads : {1, 2}) {
    const auto backend = make_cpu_backend({.n_threads = n_threads});
    REQUIRE(backend);
    Counts all;
    for (int seed = 1; seed <= (n_threads == 1 ? 2 : 1); ++seed) {
      for (const float temperature : {0.0f, 0.3f, 1.0f}) {
        INFO("seed " << seed << ", temperature " << temperature);
        for (const Model* model : {&tiny("tiny-lite", "F32"), &tiny("tiny-236b", "Q8_0")}) {
          const Counts counts =
              check_same(*model, **backend, repetitive_request(seed, temperature));
          all.drafted += counts.drafted;
          all.accepted += counts.accepted;
        }
      }
    }
    // Both kinds were there, or this would show nothing.
    CHECK(all.accepted > 20);
    CHECK(all.drafted - all.accepted > 200);
  }
}

TEST_CASE("the same tokens with penalties, DRY, mirostat, XTC and a bias") {
  const auto backend = make_cpu_backend({.n_threads = 1});
  REQUIRE(backend);
  const Model& model = tiny("tiny-lite", "F32");
  const int seed = 3;
  Request penalties = repetitive_request(seed, 0);
  penalties.sampling.repeat_penalty = 1.2f;
  penalties.sampling.presence_penalty = 0.3f;
  penalties.sampling.frequency_penalty = 0.2f;
  check_same(model, **backend, penalties);
  penalties.sampling.temperature = 0.8f;
  penalties.sampling.xtc_probability = 0.5f;
  check_same(model, **backend, penalties);
  Request dry = repetitive_request(seed, 0.5f);
  dry.sampling.dry_multiplier = 0.8f;
  dry.sampling.dry_breakers = {5};
  dry.sampling.logit_bias = {{4, 2.0f}, {6, -3.0f}};
  check_same(model, **backend, dry);
  for (const int version : {1, 2}) {
    Request mirostat = repetitive_request(seed, 0.7f);
    mirostat.sampling.mirostat = version;
    mirostat.sampling.mirostat_tau = 2;
    check_same(model, **backend, mirostat);
  }
}

TEST_CASE("answers end where they would end: by EOS, at their limit, with the context") {
  const auto backend = make_cpu_backend({.n_threads = 1});
  REQUIRE(backend);
  const Model& model = tiny("tiny-lite", "F32");
  const Request plain = repetitive_request(2, 0.6f);
  for (const int limit : {0, 1, 3, 20}) {
    INFO("limit " << limit);
    Request limited = plain;
    limited.max_tokens = limit;
    check_same(model, **backend, limited);
  }
  Request endless = plain;
  endless.max_tokens = -1;
  for (const int n_ctx : {48, 49, 64, 65}) {
    INFO("context " << n_ctx);
    check_same(model, **backend, endless, n_ctx);
  }
  // EOS in the prompt, so that it is guessed, and likely, so that it comes.
  Request ending = plain;
  const TokenId eos = model.tokenizer().eos();
  for (size_t i = 11; i < ending.prompt.size(); i += 12) ending.prompt[i] = eos;
  ending.ignore_eos = false;
  for (const float bias : {0.0f, 3.0f}) {
    ending.sampling.logit_bias = {{eos, bias}};
    check_same(model, **backend, ending);
  }
}

TEST_CASE("requests side by side guess each for itself, and give what each gives alone") {
  for (const int n_sequences : {2, 3}) {
    const auto backend = make_cpu_backend({.n_threads = n_sequences % 2 + 1});
    REQUIRE(backend);
    const Model& model = tiny("tiny-236b", "Q8_0");
    const auto alone = make_engine(model, **backend, 256);
    const auto together = make_engine(model, **backend, 256, n_sequences);
    for (const Speculation& speculation : kSpeculations) {
      std::vector<Request> requests;
      std::vector<Outcome> expected;
      for (int i = 0; i < 6; ++i) {
        requests.push_back(repetitive_request(i + 1, i % 2 == 0 ? 0.0f : 0.7f));
        requests.back().max_tokens = 20 + 7 * i;
        alone->clear_cache();
        expected.push_back(run_one(*alone, requests.back()));
        if (i != 3) requests.back().speculation = speculation;
      }
      const std::vector<Outcome> outcomes = run_all(*together, requests);
      for (size_t i = 0; i < outcomes.size(); ++i) {
        INFO(n_sequences << " sequences, request " << i);
        CHECK(outcomes[i].tokens == expected[i].tokens);
      }
      CHECK(outcomes[3].last.drafted == 0);
      together->clear_cache();
    }
  }
}

TEST_CASE("the demo model's dialogues are the same, in fewer steps") {
  const auto backend = make_cpu_backend({.n_threads = 2});
  REQUIRE(backend);
  const Tokenizer& tokenizer = demo().tokenizer();
  for (const char* text : {"Repeat: seven green apples and seven green pears and seven green plums",
                           "Count from 1 to 30.", "Sort: 9 3 7 1 8 2"}) {
    INFO(text);
    Request request{.prompt = tokenizer.encode(text), .sampling = {}, .max_tokens = 120};
    request.prompt.insert(request.prompt.begin(), tokenizer.bos());
    request.ignore_eos = true;
    for (const float temperature : {0.0f, 0.3f}) {
      request.sampling.temperature = temperature;
      check_same(demo(), **backend, request, 512);
    }
    request.sampling.temperature = 0;
    request.speculation.on = true;
    const auto engine = make_engine(demo(), **backend, 512);
    const Event last = run_one(*engine, request).last;
    CHECK(last.accepted > 20);
    CHECK(last.generation_steps == last.generated - 1 - last.accepted);
  }
}

TEST_CASE("a step with guesses that is stopped anywhere is as if it had not been begun") {
  const auto backend = make_cpu_backend({.n_threads = 2});
  REQUIRE(backend);
  const auto engine = make_engine(tiny("tiny-lite", "F32"), **backend, 256);
  Request request = repetitive_request(2, 0.3f);
  const Outcome whole = run_one(*engine, request);
  engine->clear_cache();
  request.speculation = kSpeculations.back();
  const auto id = engine->submit(request);
  REQUIRE(id);
  std::vector<TokenId> tokens;
  for (int n = 0; !engine->idle(); ++n) {
    const int cached = engine->runner().cached_tokens();
    if (n > 0) {
      CHECK(engine->step([&](double part) { return part < 0.1 * (n % 10); }).empty());
      CHECK(engine->runner().cached_tokens() == cached);
    }
    for (const Event& e : engine->step())
      if (e.kind == Event::Kind::kToken) tokens.push_back(e.token);
  }
  CHECK(tokens == whole.tokens);
}

TEST_CASE("impossible speculation is refused, where it is on") {
  const auto backend = make_cpu_backend({.n_threads = 1});
  REQUIRE(backend);
  const auto engine = make_engine(tiny("tiny-lite", "F32"), **backend, 128);
  Request request = repetitive_request(1, 0);
  request.speculation.draft_max = 99;
  CHECK(engine->submit(request));
  request.speculation.on = true;
  const auto refused = engine->submit(request);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::kUsage);
}
