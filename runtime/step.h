// What one run of a plan works on.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "runtime/graph.h"

namespace minke {

class LatentCache;

/// Consecutive tokens of a step that belong to one sequence, at consecutive positions.
struct SequenceSlice {
  int first_token = 0;  ///< Index into the step's tokens.
  int n_tokens = 0;
  int first_position = 0;           ///< Position of the first token = cached tokens before it.
  std::span<const int32_t> blocks;  ///< The sequence's cache blocks, enough for all its tokens.
};

/// Asked again and again while a step runs, by the thread that called run(), with the part of it
/// that is done (0 to 1). False stops the step within milliseconds. Called thousands of times a
/// step: it must be quick, and must not throw.
using StepWatch = std::function<bool(double part_done)>;

/// Inputs of a step; the spans live until the run returns.
struct Step {
  std::span<const int32_t> tokens;           ///< (n_tokens)
  std::span<const int32_t> positions;        ///< (n_tokens)
  std::span<const int32_t> output_rows;      ///< Indices of the tokens whose logits are wanted.
  std::span<const SequenceSlice> sequences;  ///< In order, covering all tokens.
  LatentCache* cache = nullptr;
  const StepWatch* watch = nullptr;  ///< Null: nobody watches.

  /// The sequence that a token of the step belongs to.
  const SequenceSlice& slice_of(int token) const noexcept {
    size_t i = 0;
    while (token >= sequences[i].first_token + sequences[i].n_tokens) ++i;
    return sequences[i];
  }
  std::span<const int32_t> input(StepInput which) const noexcept {
    if (which == StepInput::kTokens) return tokens;
    return which == StepInput::kPositions ? positions : output_rows;
  }
  /// Rows that a value has in this step.
  int rows(const ValueInfo& info) const noexcept {
    if (info.rows == Rows::kTokens) return static_cast<int>(tokens.size());
    if (info.rows == Rows::kOutputs) return static_cast<int>(output_rows.size());
    return static_cast<int>(info.desc.shape.rows());
  }
};

}  // namespace minke
