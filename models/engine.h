// Runs requests: chat, bench and the server drive this one engine.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "models/ngram_drafter.h"
#include "models/runner.h"
#include "models/tokenizer.h"
#include "runtime/result.h"
#include "runtime/sampler.h"

namespace minke {

using RequestId = uint64_t;

struct Request {
  std::vector<TokenId> prompt;  ///< Not empty. The longest prefix that some sequence still holds in
                                ///< the cache is reused.
  SamplingParams sampling;
  int max_tokens = -1;  ///< -1: until EOS or the context is full.
  bool ignore_eos = false;
  Speculation speculation = {};  ///< Changes how fast tokens come, not which.
};

enum class FinishReason { kEos, kMaxTokens, kContextFull, kCancelled, kError };

/// What a step has to tell of one request.
struct Event {
  enum class Kind {
    kPrompt,    ///< A piece of the prompt was read: see prompt_done.
    kToken,     ///< A token was generated; EOS is not told.
    kFinished,  ///< The last event of a request.
  };
  RequestId request = 0;
  Kind kind = Kind::kToken;
  TokenId token = -1;                        ///< kToken
  FinishReason reason = FinishReason::kEos;  ///< kFinished
  std::optional<Error> error = {};           ///< kFinished with kError: what went wrong
  int prompt_tokens = 0;                     ///< Length of the prompt.
  int prompt_cached = 0;                     ///< Of these, found in the cache.
  int prompt_done = 0;                       ///< Of these, read or found so far.
  int generated = 0;                         ///< Tokens generated so far.
  double prompt_seconds = 0;                 ///< Wall time of the steps that read the prompt.
  double generation_seconds = 0;             ///< Wall time of the steps that generated.
  int generation_steps = 0;                  ///< Their number.
  bool speculated = false;                   ///< The request wanted Speculation.
  int drafted = 0;                           ///< Tokens that were guessed.
  int accepted = 0;                          ///< Of these, right.
};

/// Continuous batching: every step runs the next token of each generating sequence, with guesses of
/// those after it if the request wants that, and prompts of others beside them. A request waits
/// while all sequences are busy. Not thread-safe.
class Engine {
 public:
  /// `model` and `backend` outlive the engine. Errors: those of Runner::create.
  static Result<std::unique_ptr<Engine>> create(const Model& model, Backend& backend,
                                                const RunnerConfig& config);
  ~Engine();

  /// Errors: kUsage if the prompt is empty, does not fit the context (says both numbers), holds an
  /// id out of the vocabulary, or a parameter of sampling or speculation is out of range.
  Result<RequestId> submit(Request request);
  /// The request ends with kCancelled at the next step; its cache stays for reuse.
  void cancel(RequestId id);
  /// True if no request is waiting or running.
  bool idle() const noexcept;
  /// Tokens of a running request's prompt that were found in the cache; 0 for other requests.
  int prompt_cached(RequestId id) const noexcept;
  /// Runs one batch and gives what happened. A request that fails (those of a batch that fails as a
  /// whole: see Runner::forward) ends with kError; the others go on. A batch that `watch` stops is
  /// as if it had not been begun: cancel() what caused it, or the next step runs it again.
  std::vector<Event> step(const StepWatch& watch = {});
  /// Forgets what finished requests left in the cache.
  void clear_cache();

  const Runner& runner() const noexcept;

 private:
  Engine();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace minke
