// The tensor graph: what to compute, independent of where. A graph is built once for a largest
// number of rows; every run gives the actual number.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "runtime/node.h"
#include "runtime/result.h"
#include "runtime/tensor.h"

namespace minke {

/// Builder and result. The first error latches: later calls do nothing, and status() tells it.
class Graph {
 public:
  Graph(int max_tokens, int max_outputs) : max_tokens_(max_tokens), max_outputs_(max_outputs) {}

  /// Prefix of the names of what follows: "blk.3."
  void scope(std::string name) { scope_ = std::move(name); }

  Value weight(std::string name, const TensorDesc& desc, const std::byte* data);
  Value input(StepInput which);

  /// Rows `ids` of `table`, decoded to f32. table (n, cols) of any format or a temp; ids I32.
  Value get_rows(Value table, Value ids);
  /// x / sqrt(mean(x^2) + eps) * weight, a row. x (rows, cols), weight f32 (cols).
  Value rms_norm(Value x, Value weight, float eps);
  /// a + b, same shape.
  Value add(Value a, Value b);
  /// x W^T: x (rows, cols), w (out, cols) of any format; gives (rows, out).
  Value matmul(Value x, Value w, const MatmulAttrs& attrs = {});
  /// (n_tokens, 2 * n_freq): cos and sin of position * frequency, pair by pair.
  Value rope_table(Value positions, std::vector<float> frequencies);
  /// Turns pairs (2i, 2i+1) of the last values of every head of x (n_tokens, n_heads * head_dim).
  Value rope(Value x, Value table, const RopeAttrs& attrs);
  /// kv (n_tokens, kv_lora_rank + rope): normalises the first part by `norm` (kv_lora_rank) and
  /// turns the rest, then writes the row into the latent cache. Gives what was written,
  /// before it was rounded to the cache's type.
  Value latent_store(Value kv, Value norm, Value table, const LatentStoreAttrs& attrs);
  /// Causal latent attention (DeepSeek-V2 report, 2.1). q (n_tokens, n_heads * (nope + rope)), with
  /// the rope part turned; k_b (n_heads, kv_lora_rank, nope), v_b (n_heads, v, kv_lora_rank);
  /// `stored` is latent_store's result, for the order only. Gives (n_tokens, n_heads * v). Products
  /// with k_b and v_b are of high precision.
  Value mla_attention(Value q, Value k_b, Value v_b, Value stored, const MlaAttrs& attrs);
  /// silu(gate) * up, same shape.
  Value swiglu(Value gate, Value up);
  /// Chooses experts from router logits (n_tokens, n_experts): softmax over all, then the best
  /// top_k, of the best n_groups_used groups by their maximum where n_groups > 1 (report 2.2.2);
  /// equal scores go to the lower index. Gives (n_tokens, 2 * top_k) f32: the chosen experts'
  /// numbers (exact, all different), best first, then their weights: softmax scores, normalised to
  /// 1 if asked, times scale.
  Value moe_route(Value logits, const MoeRouteAttrs& attrs);
  /// sum over the chosen experts of weight * down(silu(gate x) * up x). x (n_tokens, hidden),
  /// gate and up (n_experts, ff, hidden), down (n_experts, hidden, ff).
  Value moe_ffn(Value x, Value route, Value gate, Value up, Value down, const MoeFfnAttrs& attrs);

  /// Names the result. Errors: the first one of all calls, kShape.
  Status finish(Value output);

  std::span<const Node> nodes() const noexcept { return nodes_; }
  std::span<const ValueInfo> values() const noexcept { return values_; }
  const ValueInfo& info(Value v) const noexcept { return values_[static_cast<size_t>(v.id)]; }
  Value output() const noexcept { return output_; }
  int max_tokens() const noexcept { return max_tokens_; }
  int max_outputs() const noexcept { return max_outputs_; }

 private:
  Value append(Op op, std::string name, std::vector<Value> inputs, Attrs attrs);

  int max_tokens_, max_outputs_;
  std::string scope_;
  std::vector<ValueInfo> values_;
  std::vector<Node> nodes_;
  Value output_;
  Status status_;
};

}  // namespace minke
