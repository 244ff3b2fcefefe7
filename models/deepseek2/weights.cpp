#include "models/deepseek2/weights.h"

#include <cstring>

#include "runtime/input_file.h"
#include "runtime/utf8.h"

namespace minke::deepseek2 {
namespace {

class Loader {
 public:
  /// `only_check`: what is not in the file as it is used is not made.
  Loader(const GgufFile& file, const Config& config, bool only_check)
      : file_(file), c_(config), only_check_(only_check), used_(file.tensors().size()) {}

  Result<Weights> load() {
    weights_.token_embd = take("token_embd", {c_.n_vocab, c_.hidden});
    weights_.output_norm = norm("output_norm", c_.hidden);
    // Files with tied embeddings have no output matrix.
    weights_.output = has("output") ? take("output", {c_.n_vocab, c_.hidden}) : weights_.token_embd;
    for (int i = 0; i < c_.n_layers && status_; ++i) {
      prefix_ = fmt::format("blk.{}.", i);
      weights_.layers.emplace_back();
      attention(weights_.layers.back());
      feed_forward(weights_.layers.back(), i < c_.n_dense_layers);
    }
    if (status_) status_ = check_all_used();
    if (!status_) return tl::unexpected<Error>(status_.error());
    return std::move(weights_);
  }

 private:
  bool has(std::string_view stem) const {
    return file_.find_tensor(fmt::format("{}{}.weight", prefix_, stem)) != nullptr;
  }

  void set_error(tl::unexpected<Error> error) {
    if (status_) status_ = std::move(error);
  }

  size_t index_of(const GgufTensor& tensor) const {
    return static_cast<size_t>(&tensor - file_.tensors().data());
  }

  /// A tensor that has no place means that a number of the metadata is wrong, or that the model has
  /// a part (a bias, more layers) without which its answers would be wrong.
  Status check_all_used() const {
    for (const GgufTensor& tensor : file_.tensors()) {
      if (used_[index_of(tensor)]) continue;
      return fail(Errc::kContent,
                  "{}: tensor '{}': nothing uses it with the numbers of layers, experts and ranks "
                  "that the metadata gives",
                  printable_path(file_.path()), printable(tensor.name));
    }
    return {};
  }

  /// Where a file has attn_kv_b beside its two parts, the parts are enough.
  void skip_if_there(std::string_view stem) {
    const GgufTensor* tensor = file_.find_tensor(fmt::format("{}{}.weight", prefix_, stem));
    if (tensor != nullptr) used_[index_of(*tensor)] = true;
  }

  /// The tensor blk.N.STEM.weight with its shape checked; the first error latches.
  Weight take(std::string_view stem, std::initializer_list<int64_t> dims) {
    const std::string name = fmt::format("{}{}.weight", prefix_, stem);
    const GgufTensor* tensor = file_.find_tensor(name);
    if (tensor == nullptr) {
      set_error(
          fail(Errc::kContent, "{}: tensor '{}' is missing", printable_path(file_.path()), name));
      return {};
    }
    used_[index_of(*tensor)] = true;
    const Shape expected(dims);
    if (tensor->desc.shape != expected) {
      set_error(fail(Errc::kShape,
                     "{}: tensor '{}': shape does not fit the metadata (got {}, "
                     "allowed {})",
                     printable_path(file_.path()), name, to_string(tensor->desc.shape),
                     to_string(expected)));
      return {};
    }
    return {name, tensor->desc, tensor->data.data()};
  }

  Weight norm(std::string_view stem, int n) {
    Weight weight = take(stem, {n});
    if (weight && weight.desc.dtype != DType::kF32)
      set_error(fail(Errc::kUnsupported, "{}: tensor '{}': norms must be F32, this is {}",
                     printable_path(file_.path()), weight.name, dtype_name(weight.desc.dtype)));
    return weight;
  }

  void attention(LayerWeights& layer) {
    const int64_t heads = c_.n_heads;
    layer.attn_norm = norm("attn_norm", c_.hidden);
    if (c_.q_lora_rank == 0) {
      layer.q = take("attn_q", {heads * c_.qk_dim(), c_.hidden});
    } else {
      layer.q_a = take("attn_q_a", {c_.q_lora_rank, c_.hidden});
      layer.q_a_norm = norm("attn_q_a_norm", c_.q_lora_rank);
      layer.q_b = take("attn_q_b", {heads * c_.qk_dim(), c_.q_lora_rank});
    }
    layer.kv_a = take("attn_kv_a_mqa", {c_.latent_dim(), c_.hidden});
    layer.kv_a_norm = norm("attn_kv_a_norm", c_.kv_lora_rank);
    // Three layouts are in the wild: kv_b alone (old), k_b and v_b (new), all three.
    if (has("attn_kv_b") && !has("attn_k_b")) {
      split_kv_b(layer);
    } else {
      layer.k_b = take("attn_k_b", {heads, c_.kv_lora_rank, c_.qk_nope_dim});
      layer.v_b = take("attn_v_b", {heads, c_.v_dim, c_.kv_lora_rank});
      skip_if_there("attn_kv_b");
    }
    layer.attn_out = take("attn_output", {c_.hidden, heads * c_.v_dim});
  }

  /// kv_b holds, for each head, nope rows of keys, then v rows of values, each kv_lora long. The
  /// values' rows are copied as they are; the keys are turned (kv_lora, nope), which quantized
  /// blocks cannot be, so they become F16 (F32 and BF16 stay what they are).
  void split_kv_b(LayerWeights& layer) {
    const size_t heads = static_cast<size_t>(c_.n_heads),
                 rank = static_cast<size_t>(c_.kv_lora_rank);
    const size_t nope = static_cast<size_t>(c_.qk_nope_dim), v = static_cast<size_t>(c_.v_dim);
    const Weight kv_b =
        take("attn_kv_b", {c_.n_heads * int64_t{c_.qk_nope_dim + c_.v_dim}, c_.kv_lora_rank});
    if (!kv_b || only_check_) return;
    const DType source = kv_b.desc.dtype;
    const DType keys = source == DType::kF32 || source == DType::kBF16 ? source : DType::kF16;
    layer.k_b = own("attn_k_b", {keys, Shape{c_.n_heads, c_.kv_lora_rank, c_.qk_nope_dim}});
    layer.v_b = own("attn_v_b", {source, Shape{c_.n_heads, c_.v_dim, c_.kv_lora_rank}});
    std::byte* k_out = weights_.owned[weights_.owned.size() - 2].data();
    std::byte* v_out = weights_.owned.back().data();

    const FormatTraits *in = find_format(source), *out = find_format(keys);
    const size_t row_bytes = kv_b.desc.row_bytes(), turned_row = minke::row_bytes(keys, nope);
    std::vector<float> rows(nope * rank), turned(nope);
    for (size_t h = 0; h < heads; ++h) {
      const std::byte* head = kv_b.data + h * (nope + v) * row_bytes;
      in->decode(head, rows.data(), rows.size() / in->block_len);
      for (size_t l = 0; l < rank; ++l) {
        for (size_t i = 0; i < nope; ++i) turned[i] = rows[i * rank + l];
        out->encode(turned.data(), nullptr, k_out + (h * rank + l) * turned_row, nope);
      }
      std::memcpy(v_out + h * v * row_bytes, head + nope * row_bytes, v * row_bytes);
    }
  }

  Weight own(std::string_view stem, const TensorDesc& desc) {
    weights_.owned.emplace_back(desc.bytes());
    return {fmt::format("{}{}.weight", prefix_, stem), desc, weights_.owned.back().data()};
  }

  void feed_forward(LayerWeights& layer, bool dense) {
    layer.ffn_norm = norm("ffn_norm", c_.hidden);
    if (dense) {
      layer.mlp = mlp("", c_.dense_ff);
      return;
    }
    layer.router = take("ffn_gate_inp", {c_.n_experts, c_.hidden});
    layer.experts.gate = take("ffn_gate_exps", {c_.n_experts, c_.expert_ff, c_.hidden});
    layer.experts.up = take("ffn_up_exps", {c_.n_experts, c_.expert_ff, c_.hidden});
    layer.experts.down = take("ffn_down_exps", {c_.n_experts, c_.hidden, c_.expert_ff});
    if (c_.n_shared_experts > 0) layer.mlp = mlp("_shexp", c_.n_shared_experts * c_.expert_ff);
  }

  MlpWeights mlp(std::string_view suffix, int64_t width) {
    return {take(fmt::format("ffn_gate{}", suffix), {width, c_.hidden}),
            take(fmt::format("ffn_up{}", suffix), {width, c_.hidden}),
            take(fmt::format("ffn_down{}", suffix), {c_.hidden, width})};
  }

  const GgufFile& file_;
  const Config& c_;
  bool only_check_;
  std::vector<bool> used_;  ///< a tensor of the file
  Weights weights_;
  Status status_;
  std::string prefix_;
};

}  // namespace

size_t Weights::owned_bytes() const noexcept {
  size_t bytes = 0;
  for (const auto& tensor : owned) bytes += tensor.size();
  return bytes;
}

std::vector<Weight*> Weights::all() {
  std::vector<Weight*> weights = {&token_embd};
  for (LayerWeights& l : layers) {
    for (Weight* weight :
         {&l.attn_norm, &l.q, &l.q_a, &l.q_a_norm, &l.q_b, &l.kv_a, &l.kv_a_norm, &l.k_b, &l.v_b,
          &l.attn_out, &l.ffn_norm, &l.router, &l.mlp.gate, &l.mlp.up, &l.mlp.down, &l.experts.gate,
          &l.experts.up, &l.experts.down}) {
      if (*weight) weights.push_back(weight);
    }
  }
  weights.push_back(&output_norm);
  weights.push_back(&output);
  return weights;
}

Result<Weights> load_weights(const GgufFile& file, const Config& config) {
  return Loader(file, config, false).load();
}

Status check_weights(const GgufFile& file, const Config& config) {
  MINKE_TRY(Loader(file, config, true).load());
  return {};
}

}  // namespace minke::deepseek2
