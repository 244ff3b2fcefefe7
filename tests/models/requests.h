// Requests that repeat themselves, so that there is something to guess, and what comes of them.
#pragma once

#include <doctest/doctest.h>

#include <map>
#include <memory>
#include <vector>

#include "models/engine.h"

namespace minke::test {

inline std::vector<TokenId> some_tokens(int n, int seed, int n_kinds) {
  std::vector<TokenId> tokens;
  for (int i = 0; i < n; ++i) tokens.push_back((i * 37 + seed * 101 + i * i * seed) % n_kinds + 3);
  return tokens;
}

/// All that a request's end tells, and what it left.
struct Outcome {
  std::vector<TokenId> tokens;
  Event last;
};

inline std::vector<Outcome> run_all(Engine& engine, const std::vector<Request>& requests) {
  std::map<RequestId, size_t> numbers;
  std::vector<Outcome> outcomes(requests.size());
  for (size_t i = 0; i < requests.size(); ++i) {
    const auto id = engine.submit(requests[i]);
    REQUIRE_MESSAGE(id, (id ? "" : id.error().message));
    numbers[*id] = i;
  }
  while (!engine.idle()) {
    for (const Event& e : engine.step()) {
      Outcome& outcome = outcomes[numbers[e.request]];
      if (e.kind == Event::Kind::kToken) outcome.tokens.push_back(e.token);
      if (e.kind == Event::Kind::kFinished) outcome.last = e;
    }
  }
  return outcomes;
}

inline Outcome run_one(Engine& engine, const Request& request) {
  return std::move(run_all(engine, {request})[0]);
}

inline std::unique_ptr<Engine> make_engine(const Model& model, Backend& backend, int n_ctx,
                                           int n_sequences = 1) {
  auto engine = Engine::create(model, backend, {.n_ctx = n_ctx, .n_sequences = n_sequences});
  REQUIRE_MESSAGE(engine, (engine ? "" : engine.error().message));
  return std::move(*engine);
}

/// Ways to guess: as pays, and more and less boldly.
inline const std::vector<Speculation> kSpeculations = {
    {.on = true},
    {.on = true, .draft_max = 1, .draft_min = 1, .ngram_size = 1},
    {.on = true, .draft_max = 3, .draft_min = 3, .ngram_size = 1},
    {.on = true, .draft_max = 8, .draft_min = 8},
    {.on = true, .draft_max = 31, .draft_min = 31, .ngram_size = 1}};

inline Request repetitive_request(int seed, float temperature) {
  Request request{.prompt = some_tokens(24, seed, 9), .sampling = {}, .max_tokens = 40};
  const std::vector<TokenId> once = request.prompt;
  request.prompt.insert(request.prompt.end(), once.begin(), once.end());
  request.ignore_eos = true;
  request.sampling.temperature = temperature;
  request.sampling.seed = static_cast<uint64_t>(seed);
  return request;
}

}  // namespace minke::test
