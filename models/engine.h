// Runs requests: chat, bench and the server drive this one engine.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "models/tokenizer.h"
#include "runtime/result.h"
#include "runtime/sampler.h"

namespace minke {

class Backend;  // runtime/backend.h
class Model;    // models/model.h: weights, tokenizer and configuration of one opened file

struct EngineConfig {
  int n_ctx = 0;        ///< Tokens of all sequences together; 0: the model's, capped by memory.
  int n_sequences = 1;  ///< Sequences that can be active at once.
  int n_batch = 512;    ///< Tokens of one step at most.
  int n_threads = 0;    ///< 0: one a core.
  DType cache_type = DType::kF16;  ///< F32, F16, BF16 or Q8_0.
};

using RequestId = uint64_t;

struct Request {
  std::vector<TokenId> prompt;  ///< Not empty. The longest prefix that a sequence still holds in
                                ///< the cache is reused.
  SamplingParams sampling;
  int max_tokens = -1;  ///< -1: until EOS or the context is full.
  bool ignore_eos = false;
};

enum class FinishReason { kEos, kMaxTokens, kContextFull, kCancelled };

/// What a step has to tell of one request.
struct Event {
  RequestId request = 0;
  enum class Kind { kPromptProgress, kToken, kFinished } kind = Kind::kToken;
  TokenId token = -1;                                         ///< kToken
  FinishReason reason = FinishReason::kEos;                   ///< kFinished
  int prompt_tokens = 0, prompt_done = 0, prompt_cached = 0;  ///< kPromptProgress and kFinished
  double prompt_seconds = 0, generation_seconds = 0;          ///< kFinished
  int generated = 0;                                          ///< kFinished
};

/// Continuous batching over one latent cache. Not thread-safe: one thread calls it.
class Engine {
 public:
  /// `model` and `backend` outlive the engine. Errors: kMemory, kUsage, kUnsupported.
  static Result<std::unique_ptr<Engine>> create(const Model& model, Backend& backend,
                                                const EngineConfig& config);
  ~Engine();

  /// Errors: kUsage if the prompt does not fit the context (says both numbers) or an id is out of
  /// the vocabulary.
  Result<RequestId> submit(Request request);
  /// The request ends with kCancelled at the next step; its cache stays for reuse.
  void cancel(RequestId id);
  bool idle() const noexcept;
  /// Runs one batch over all active sequences and gives what happened. Errors: kContent (NaN in the
  /// logits), kMemory.
  Result<std::vector<Event>> step();

  int n_ctx() const noexcept;
  /// "cpu:avx512vnni", for people.
  std::string backend_name() const;
  /// Forgets all cached sequences that no request uses.
  void clear_cache();

  /// Runs tokens as one sequence from an empty cache and returns the logits of the last `n_last`
  /// tokens, (n_last, n_vocab) f32; for tests, perplexity and bench.
  Result<std::vector<float>> evaluate(std::span<const TokenId> tokens, int n_last);

 private:
  Engine();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace minke
