#include "apps/generate.h"

#include <doctest/doctest.h>
#include <signal.h>

#include "apps/interrupt.h"
#include "backends/cpu/cpu_backend.h"
#include "tests/apps/app_model.h"

using namespace minke;
using namespace minke::apps;

namespace {

Request long_request() {
  Request request{.prompt = {}, .sampling = {}, .max_tokens = 4, .ignore_eos = true};
  for (int i = 0; i < 300; ++i) request.prompt.push_back(i % 250);
  request.sampling.temperature = 0;
  return request;
}

}  // namespace

TEST_CASE("generate: progress and Ctrl-C come through while a step is running") {
  const auto backend = make_cpu_backend({.n_threads = 2});
  REQUIRE(backend);
  const auto engine = Engine::create(test::tiny_model(), **backend, {.n_ctx = 512, .n_batch = 128});
  REQUIRE(engine);
  const SignalWatch signals;
  const auto whole = generate(**engine, long_request(), {});
  REQUIRE(whole);
  CHECK(whole->tokens.size() == 4);

  (*engine)->clear_cache();
  int last = 0;
  Watcher watcher;
  watcher.prompt = [&](int done, int total) {
    CHECK(total == 300);
    CHECK(done >= last);
    last = done;
    if (done > 128 && done % 128 != 0) raise(SIGINT);
  };
  const auto stopped = generate(**engine, long_request(), watcher);
  REQUIRE(stopped);
  CHECK(stopped->reason == FinishReason::kCancelled);
  CHECK(stopped->tokens.empty());
  CHECK(last > 128);
  CHECK(last < 256);
  CHECK(stopped->stats.prompt_done == 128);

  SignalWatch::clear_interrupts();
  const auto again = generate(**engine, long_request(), {});
  REQUIRE(again);
  CHECK(again->stats.prompt_cached == 128);
  CHECK(again->tokens == whole->tokens);

  // A prompt that is partly cached counts on from there.
  Request longer = long_request();
  for (int i = 0; i < 100; ++i) longer.prompt.push_back(i);
  int first = -1;
  watcher.prompt = [&](int done, int) { first = first < 0 ? done : first; };
  REQUIRE(generate(**engine, longer, watcher));
  CHECK(first == 300);
}

TEST_CASE("generate: a listener that stops inside a step with guesses leaves a sound cache") {
  const auto backend = make_cpu_backend({.n_threads = 1});
  REQUIRE(backend);
  const auto engine = Engine::create(test::tiny_model(), **backend, {.n_ctx = 512});
  REQUIRE(engine);
  Request request = long_request();
  request.max_tokens = 40;
  const auto whole = generate(**engine, request, {});
  REQUIRE(whole);
  (*engine)->clear_cache();
  Request guessing = request;
  guessing.speculation = {.on = true, .draft_max = 9, .draft_min = 9, .ngram_size = 1};
  int n_pieces = 0;
  Watcher watcher;
  watcher.text = [&](std::string_view) -> Status {
    return ++n_pieces < 4 ? Status{} : fail(Errc::kIo, "nobody listens");
  };
  const auto stopped = generate(**engine, guessing, watcher);
  REQUIRE_FALSE(stopped);
  CHECK(stopped.error().message == "nobody listens");
  CHECK((*engine)->idle());
  const auto again = generate(**engine, guessing, {});
  REQUIRE(again);
  CHECK(again->stats.prompt_cached == 299);
  CHECK(again->tokens == whole->tokens);
}
