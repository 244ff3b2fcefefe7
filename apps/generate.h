// Runs one request to its end and shows what happens on the way.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "models/engine.h"

namespace minke::apps {

struct Answer {
  std::vector<TokenId> tokens;  ///< As generated, without EOS.
  std::string text;
  FinishReason reason = FinishReason::kEos;
  Event stats;  ///< The last event: counts and times.
};

/// Who watches; either may be empty.
struct Watcher {
  /// A piece of the answer, whole characters. An error ends the answer.
  std::function<Status(std::string_view piece)> text;
  /// Tokens of the prompt that are read; called thousands of times a second.
  std::function<void(int done, int total)> prompt;
};

/// Looks at SignalWatch, inside steps too: an interrupt ends the answer with kCancelled, which is
/// no error; of the step that it stopped nothing stays. Errors: those of Engine::submit and
/// Engine::step, those of watcher.text.
Result<Answer> generate(Engine& engine, Request request, const Watcher& watcher);

/// "prompt 25 tokens (20 cached), 0.12 s, 41.7 tokens/s; answer 30 tokens, 1.20 s, 25.0 tokens/s",
/// and with speculation "; guessed 20 tokens, 15 right (75.0 %), 2.00 tokens a step"
std::string describe_timings(const Event& stats);

/// A line a token: its place, id and text.
std::string describe_tokens(const Tokenizer& tokenizer, const std::vector<TokenId>& tokens);

}  // namespace minke::apps
