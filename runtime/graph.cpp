#include "runtime/graph.h"

#include "runtime/ops/op.h"

namespace minke {

Value Graph::weight(std::string name, const TensorDesc& desc, const std::byte* data) {
  values_.push_back(
      {.kind = ValueKind::kWeight, .desc = desc, .weight = data, .name = std::move(name)});
  return {static_cast<int>(values_.size()) - 1};
}

Value Graph::input(StepInput which) {
  const bool outputs = which == StepInput::kOutputRows;
  values_.push_back({.kind = ValueKind::kInput,
                     .desc = {DType::kI32, Shape{outputs ? max_outputs_ : max_tokens_}},
                     .rows = outputs ? Rows::kOutputs : Rows::kTokens,
                     .input = which,
                     .name = outputs ? "output_rows" : "tokens"});
  return {static_cast<int>(values_.size()) - 1};
}

Value Graph::append(Op op, std::string name, std::vector<Value> inputs, Attrs attrs) {
  if (!status_) return {};
  std::vector<TensorDesc> descs;
  for (const Value v : inputs) descs.push_back(info(v).desc);
  Result<TensorDesc> desc = op_def(op).shape(attrs, descs);
  if (!desc) {
    status_ = fail(desc.error().code, "{}{}: {}", scope_, name, desc.error().message);
    return {};
  }
  // get_rows makes a row an id; every other op makes a row of each row of its first input.
  const Rows rows = info(inputs[op == Op::kGetRows ? 1 : 0]).rows;
  const Value output{static_cast<int>(values_.size())};
  name = scope_ + name;
  values_.push_back({.kind = ValueKind::kTemp, .desc = *desc, .rows = rows, .name = name});
  nodes_.push_back({op, std::move(inputs), output, std::move(attrs), std::move(name)});
  return output;
}

Value Graph::get_rows(Value table, Value ids) {
  return append(Op::kGetRows, "get_rows", {table, ids}, {});
}
Value Graph::rms_norm(Value x, Value weight, float eps) {
  return append(Op::kRmsNorm, "rms_norm", {x, weight}, RmsNormAttrs{eps});
}
Value Graph::add(Value a, Value b) { return append(Op::kAdd, "add", {a, b}, {}); }
Value Graph::matmul(Value x, Value w, const MatmulAttrs& attrs) {
  return append(Op::kMatmul, "matmul", {x, w}, attrs);
}
Value Graph::rope_table(Value positions, std::vector<float> frequencies) {
  return append(Op::kRopeTable, "rope_table", {positions}, RopeTableAttrs{std::move(frequencies)});
}
Value Graph::rope(Value x, Value table, const RopeAttrs& attrs) {
  return append(Op::kRope, "rope", {x, table}, attrs);
}
Value Graph::latent_store(Value kv, Value norm, Value table, const LatentStoreAttrs& attrs) {
  return append(Op::kLatentStore, "latent_store", {kv, norm, table}, attrs);
}
Value Graph::mla_attention(Value q, Value k_b, Value v_b, Value stored, const MlaAttrs& attrs) {
  return append(Op::kMlaAttention, "mla_attention", {q, k_b, v_b, stored}, attrs);
}
Value Graph::swiglu(Value gate, Value up) { return append(Op::kSwiglu, "swiglu", {gate, up}, {}); }
Value Graph::moe_route(Value logits, const MoeRouteAttrs& attrs) {
  return append(Op::kMoeRoute, "moe_route", {logits}, attrs);
}
Value Graph::moe_ffn(Value x, Value route, Value gate, Value up, Value down,
                     const MoeFfnAttrs& attrs) {
  return append(Op::kMoeFfn, "moe_ffn", {x, route, gate, up, down}, attrs);
}

Status Graph::finish(Value output) {
  output_ = output;
  return status_;
}

}  // namespace minke
