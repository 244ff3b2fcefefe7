// What a graph consists of: values, and nodes that make them from other values.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "runtime/tensor.h"

namespace minke {

enum class Op {
#define MINKE_OP(name) k##name,
#include "runtime/op_list.inc"
#undef MINKE_OP
};
inline constexpr int kOpCount = 0
#define MINKE_OP(name) +1
#include "runtime/op_list.inc"
#undef MINKE_OP
    ;
std::string_view op_name(Op op) noexcept;

/// What the first dimension of a value counts.
enum class Rows {
  kFixed,    ///< As in the shape.
  kTokens,   ///< The tokens of the step; the shape holds the largest number.
  kOutputs,  ///< The tokens whose logits are wanted; the shape holds the largest number.
};

/// Handle of a value of one graph.
struct Value {
  int id = -1;
};

enum class ValueKind {
  kWeight,  ///< Constant bytes that outlive the graph.
  kInput,   ///< I32, given with every run: StepInput says which.
  kTemp,    ///< F32, made by a node.
};

/// The integer inputs of a step.
enum class StepInput { kTokens, kPositions, kOutputRows };

/// How exactly a product is computed, where a backend rounds x to multiply it with quantized
/// weights.
enum class Precision : uint8_t {
  kDefault,  ///< As is fastest.
  kHigh,     ///< What rounding x costs must not show beside what the weights' format lost.
};

// Attributes of the ops; see the Graph functions of the same names.
struct MatmulAttrs {
  Precision precision = Precision::kDefault;
};
struct RmsNormAttrs {
  float eps;
};
struct RopeTableAttrs {
  std::vector<float> frequencies;  ///< radians a position, one a pair
};
struct RopeAttrs {
  int n_heads, head_dim, offset;  ///< In each head, values from offset on are turned in pairs.
};
struct LatentStoreAttrs {
  int layer, kv_lora_rank;
  float eps;
};
struct MlaAttrs {
  int layer, n_heads, qk_nope_dim, qk_rope_dim, v_dim, kv_lora_rank;
  float scale;
};
struct MoeRouteAttrs {
  int top_k, n_groups, n_groups_used;
  float scale;
  bool normalize;
};
struct MoeFfnAttrs {
  int top_k;
};
using Attrs = std::variant<std::monostate, MatmulAttrs, RmsNormAttrs, RopeTableAttrs, RopeAttrs,
                           LatentStoreAttrs, MlaAttrs, MoeRouteAttrs, MoeFfnAttrs>;

struct ValueInfo {
  ValueKind kind;
  TensorDesc desc;
  Rows rows = Rows::kFixed;
  const std::byte* weight = nullptr;     ///< kWeight
  StepInput input = StepInput::kTokens;  ///< kInput
  std::string name;                      ///< For messages.
};

struct Node {
  Op op;
  std::vector<Value> inputs;
  Value output;
  Attrs attrs;
  std::string name;  ///< "blk.3.attn_q", for messages and profiles.
};

}  // namespace minke
