#include "convert/tensor_plan.h"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "runtime/input_file.h"
#include "runtime/utf8.h"

namespace minke::convert {
namespace {

class Planner {
 public:
  Planner(const Checkpoint& checkpoint, const HfConfig& config)
      : checkpoint_(checkpoint), config_(config) {}

  Status plan() {
    const HfConfig& c = config_;
    MINKE_TRY(matrix("token_embd", "model.embed_tokens", c.vocab_size, c.hidden_size));
    for (int64_t layer = 0; layer < c.n_layers; ++layer) {
      from_ = fmt::format("model.layers.{}.", layer);
      to_ = fmt::format("blk.{}.", layer);
      MINKE_TRY(attention());
      MINKE_TRY(layer < c.n_dense_layers ? dense() : experts());
    }
    from_.clear();
    to_.clear();
    MINKE_TRY(vector("output_norm", "model.norm", c.hidden_size));
    // Some readers know no tied embeddings: the output is written in any case.
    const char* head = c.tied_embeddings ? "model.embed_tokens" : "lm_head";
    MINKE_TRY(matrix("output", head, c.vocab_size, c.hidden_size));
    return check_leftovers();
  }

  std::vector<PlannedTensor> take() && { return std::move(planned_); }

 private:
  Status attention() {
    const HfConfig& c = config_;
    const int64_t qk_dim = c.qk_nope_dim + c.qk_rope_dim;
    MINKE_TRY(vector("attn_norm", "input_layernorm", c.hidden_size));
    if (c.q_lora_rank == 0) {
      MINKE_TRY(matrix("attn_q", "self_attn.q_proj", c.n_heads * qk_dim, c.hidden_size));
    } else {
      MINKE_TRY(matrix("attn_q_a", "self_attn.q_a_proj", c.q_lora_rank, c.hidden_size));
      MINKE_TRY(vector("attn_q_a_norm", "self_attn.q_a_layernorm", c.q_lora_rank));
      MINKE_TRY(matrix("attn_q_b", "self_attn.q_b_proj", c.n_heads * qk_dim, c.q_lora_rank));
    }
    MINKE_TRY(matrix("attn_kv_a_mqa", "self_attn.kv_a_proj_with_mqa",
                     c.kv_lora_rank + c.qk_rope_dim, c.hidden_size));
    MINKE_TRY(vector("attn_kv_a_norm", "self_attn.kv_a_layernorm", c.kv_lora_rank));
    MINKE_TRY(keys_and_values());
    MINKE_TRY(matrix("attn_output", "self_attn.o_proj", c.hidden_size, c.n_heads * c.v_dim));
    return vector("ffn_norm", "post_attention_layernorm", c.hidden_size);
  }

  /// kv_b_proj holds for each head its key rows, then its value rows.
  Status keys_and_values() {
    const HfConfig& c = config_;
    const int64_t head_rows = c.qk_nope_dim + c.v_dim;
    MINKE_ASSIGN(const SourceMatrix source,
                 find("self_attn.kv_b_proj", Shape{c.n_heads * head_rows, c.kv_lora_rank}));
    std::vector<Slab> keys, values;
    for (int64_t head = 0; head < c.n_heads; ++head) {
      keys.push_back({source, head * head_rows, c.qk_nope_dim, true});
      values.push_back({source, head * head_rows + c.qk_nope_dim, c.v_dim, false});
    }
    add("attn_k_b", Shape{c.n_heads, c.kv_lora_rank, c.qk_nope_dim}, std::move(keys));
    add("attn_v_b", Shape{c.n_heads, c.v_dim, c.kv_lora_rank}, std::move(values));
    return {};
  }

  Status dense() { return mlp("ffn_gate", "ffn_up", "ffn_down", "mlp.", config_.dense_ff); }

  Status experts() {
    const HfConfig& c = config_;
    MINKE_TRY(matrix("ffn_gate_inp", "mlp.gate", c.n_experts, c.hidden_size));
    MINKE_TRY(stacked("ffn_gate_exps", "gate_proj", c.expert_ff, c.hidden_size));
    MINKE_TRY(stacked("ffn_up_exps", "up_proj", c.expert_ff, c.hidden_size));
    MINKE_TRY(stacked("ffn_down_exps", "down_proj", c.hidden_size, c.expert_ff));
    if (c.n_shared_experts == 0) return {};
    return mlp("ffn_gate_shexp", "ffn_up_shexp", "ffn_down_shexp", "mlp.shared_experts.",
               c.n_shared_experts * c.expert_ff);
  }

  Status mlp(const char* gate, const char* up, const char* down, const std::string& from,
             int64_t ff) {
    MINKE_TRY(matrix(gate, from + "gate_proj", ff, config_.hidden_size));
    MINKE_TRY(matrix(up, from + "up_proj", ff, config_.hidden_size));
    return matrix(down, from + "down_proj", config_.hidden_size, ff);
  }

  Status stacked(const char* to, const char* from, int64_t rows, int64_t cols) {
    std::vector<Slab> slabs;
    for (int64_t expert = 0; expert < config_.n_experts; ++expert) {
      MINKE_ASSIGN(const SourceMatrix source,
                   find(fmt::format("mlp.experts.{}.{}", expert, from), Shape{rows, cols}));
      slabs.push_back({source, 0, rows, false});
    }
    add(to, Shape{config_.n_experts, rows, cols}, std::move(slabs));
    return {};
  }

  Status matrix(const char* to, const std::string& from, int64_t rows, int64_t cols) {
    MINKE_ASSIGN(const SourceMatrix source, find(from, Shape{rows, cols}));
    add(to, Shape{rows, cols}, {{source, 0, rows, false}});
    return {};
  }

  Status vector(const char* to, const std::string& from, int64_t length) {
    MINKE_ASSIGN(const SourceMatrix source, find(from, Shape{length}));
    add(to, Shape{length}, {{source, 0, 1, false}});
    return {};
  }

  void add(const char* to, const Shape& shape, std::vector<Slab> slabs) {
    planned_.push_back({to_ + to + ".weight", TensorDesc{DType::kF32, shape}, std::move(slabs)});
  }

  Result<SourceMatrix> find(const std::string& from, const Shape& shape) {
    const std::string name = from_ + from + ".weight";
    const CheckpointTensor* entry = checkpoint_.find(name);
    if (entry == nullptr) {
      return fail(Errc::kContent, "{}: tensor '{}': is missing", printable_path(checkpoint_.dir()),
                  name);
    }
    const SafeTensor& tensor = *entry->tensor;
    if (tensor.shape != shape) {
      return bad(*entry, fmt::format("shape {} (config.json asks for {})", to_string(tensor.shape),
                                     to_string(shape)));
    }
    if (!is_float(tensor.type)) {
      return bad(*entry, fmt::format("cannot convert {} (allowed F64, F32, F16, BF16, F8_E4M3, "
                                     "F8_E5M2)",
                                     source_type_name(tensor.type)));
    }
    used_.insert(tensor.name);
    SourceMatrix source{source_tensor(*entry), {}, 0, 0};
    MINKE_TRY(attach_scales(*entry, source));
    return source;
  }

  static SourceTensor source_tensor(const CheckpointTensor& entry) {
    const SafeTensor& tensor = *entry.tensor;
    return {tensor.name, &entry.file->file(), tensor.begin, tensor.shape,
            source_format(tensor.type)};
  }

  /// FP8 weights come with "X.weight_scale_inv" (a scale a block; despite the name a factor, as in
  /// DeepSeek's own checkpoints) or "X.weight_scale" (one in all, or one a row).
  Status attach_scales(const CheckpointTensor& weights, SourceMatrix& source) {
    const SafeTensor& tensor = *weights.tensor;
    const bool is_fp8 = source_type_bytes(tensor.type) == 1;
    const CheckpointTensor* entry = checkpoint_.find(tensor.name + "_scale_inv");
    if (entry == nullptr) entry = checkpoint_.find(tensor.name + "_scale");
    if (entry == nullptr) {
      if (!is_fp8) return {};
      return bad(weights, fmt::format("{} without its scales ('{}_scale_inv' is missing)",
                                      source_type_name(tensor.type), tensor.name));
    }
    if (!is_fp8) return bad(*entry, "scales of a tensor that is not FP8");
    const Shape& shape = entry->tensor->shape;
    const bool scales_are_float =
        is_float(entry->tensor->type) && source_type_bytes(entry->tensor->type) > 1;
    if (!scales_are_float) {
      return bad(*entry, fmt::format("scales of type {} (allowed F32, BF16, F16)",
                                     source_type_name(entry->tensor->type)));
    }
    if (!choose_blocks(shape, source)) {
      return bad(*entry, fmt::format("{} scales do not fit {} weights in blocks of {}x{}",
                                     to_string(shape), to_string(tensor.shape),
                                     config_.fp8_block_rows, config_.fp8_block_cols));
    }
    source.scales = source_tensor(*entry);
    used_.insert(entry->tensor->name);
    return {};
  }

  /// Sets the blocks that scales of this shape belong to; false if there are none.
  bool choose_blocks(const Shape& scales, SourceMatrix& source) const {
    const int64_t rows = source.weights.shape.rows();
    const int64_t cols = source.weights.shape.cols();
    const auto n_blocks = [](int64_t n, int64_t block) { return (n + block - 1) / block; };
    const Shape by_block{n_blocks(rows, config_.fp8_block_rows),
                         n_blocks(cols, config_.fp8_block_cols)};
    if (scales == by_block) {
      source.block_rows = config_.fp8_block_rows;
      source.block_cols = config_.fp8_block_cols;
    } else if (scales.elements() == 1) {
      source.block_rows = rows;
      source.block_cols = cols;
    } else if (scales == Shape{rows} || scales == Shape{rows, 1}) {
      source.block_rows = 1;
      source.block_cols = cols;
    } else {
      return false;
    }
    return true;
  }

  /// A tensor that nothing asked for would silently change what the model computes.
  Status check_leftovers() const {
    std::vector<std::string_view> names;
    for (const auto& [name, entry] : checkpoint_.tensors()) {
      if (!used_.contains(name) && !may_be_left_out(name)) names.push_back(name);
    }
    if (names.empty()) return {};
    const auto first = std::ranges::min(names);
    return bad(*checkpoint_.find(first),
               fmt::format("no DeepSeek-V2 model of this config.json has it ({} such tensors)",
                           names.size()));
  }

  bool may_be_left_out(std::string_view name) const {
    // Computed anew by every runtime; the range of activations, which GGUF does not use.
    if (name.ends_with(".rotary_emb.inv_freq") || name.ends_with(".input_scale")) return true;
    if (config_.tied_embeddings && name == "lm_head.weight") return true;
    // Layers that predict further tokens (multi-token prediction) follow the model's own; eh_proj
    // is theirs alone.
    constexpr std::string_view kPrefix = "model.layers.";
    int64_t layer = -1;
    if (!name.starts_with(kPrefix)) return false;
    std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), layer);
    return layer >= config_.n_layers &&
           checkpoint_.find(fmt::format("{}{}.eh_proj.weight", kPrefix, layer)) != nullptr;
  }

  static tl::unexpected<Error> bad(const CheckpointTensor& entry, const std::string& reason) {
    return fail(Errc::kContent, "{}: tensor '{}': {}", printable_path(entry.file->path()),
                printable(entry.tensor->name), reason);
  }

  const Checkpoint& checkpoint_;
  const HfConfig& config_;
  std::string from_, to_;  // prefixes of the layer at hand
  std::vector<PlannedTensor> planned_;
  std::unordered_set<std::string_view> used_;
};

}  // namespace

Result<std::vector<PlannedTensor>> plan_tensors(const Checkpoint& checkpoint,
                                                const HfConfig& config) {
  Planner planner(checkpoint, config);
  MINKE_TRY(planner.plan());
  return std::move(planner).take();
}

}  // namespace minke::convert
