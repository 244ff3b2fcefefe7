// The tensors of a DeepSeek-V2 model, found by name and checked against the configuration.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "models/deepseek2/config.h"
#include "runtime/gguf_reader.h"
#include "runtime/result.h"
#include "runtime/tensor.h"

namespace minke::deepseek2 {

/// A weight's bytes lie in the file's mapping, or in Weights::owned where a layout of old files
/// had to be turned.
struct Weight {
  std::string name;
  TensorDesc desc;
  const std::byte* data = nullptr;

  explicit operator bool() const noexcept { return data != nullptr; }
};

/// A two-matrix gated MLP: down(silu(gate x) * up x).
struct MlpWeights {
  Weight gate, up, down;
};

struct LayerWeights {
  Weight attn_norm, ffn_norm;
  Weight q;                   ///< (heads * qk, hidden), without low rank
  Weight q_a, q_a_norm, q_b;  ///< (q_lora, hidden), (q_lora), (heads * qk, q_lora)
  Weight kv_a, kv_a_norm;     ///< (kv_lora + rope, hidden), (kv_lora)
  Weight k_b, v_b;            ///< (heads, kv_lora, nope), (heads, v, kv_lora)
  Weight attn_out;            ///< (hidden, heads * v)
  Weight router;              ///< (experts, hidden); none in a dense layer
  MlpWeights mlp;             ///< The dense MLP, or the shared experts
  MlpWeights experts;         ///< (experts, ff, hidden) twice, (experts, hidden, ff)
};

struct Weights {
  Weight token_embd, output_norm, output;
  std::vector<LayerWeights> layers;
  /// Memory for what is not in the file as it is used.
  std::vector<std::vector<std::byte>> owned;

  size_t owned_bytes() const noexcept;
  /// Those there are of token_embd, output and the layers, in the order in which they are used.
  std::vector<Weight*> all();
};

/// Errors: kShape (the tensor, its shape, the expected one), kContent (a tensor is missing, or has
/// no place in the model).
Result<Weights> load_weights(const GgufFile& file, const Config& config);

/// The same checks, without loading: no memory is taken.
Status check_weights(const GgufFile& file, const Config& config);

}  // namespace minke::deepseek2
