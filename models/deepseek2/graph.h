// DeepSeek-V2 as a graph (report, arXiv 2405.04434, section 2).
#pragma once

#include "models/deepseek2/config.h"
#include "models/deepseek2/weights.h"
#include "runtime/graph.h"

namespace minke::deepseek2 {

/// From the tokens of a step to the logits (n_outputs, n_vocab) of those that are wanted. `weights`
/// outlives the graph. Errors: kShape.
Result<Graph> build_graph(const Config& config, const Weights& weights, int max_tokens,
                          int max_outputs);

/// The same up to the residual stream after `n_layers` layers, (n_tokens, hidden); to find out
/// where numbers go wrong.
Result<Graph> build_hidden_graph(const Config& config, const Weights& weights, int max_tokens,
                                 int n_layers);

}  // namespace minke::deepseek2
