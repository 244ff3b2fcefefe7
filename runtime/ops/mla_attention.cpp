#include <algorithm>
#include <cmath>

#include "runtime/latent_cache.h"
#include "runtime/ops/op.h"

namespace minke {
namespace {

Result<TensorDesc> shape(const Attrs& attrs, std::span<const TensorDesc> in) {
  const auto& a = std::get<MlaAttrs>(attrs);
  if (in[0].shape.cols() != int64_t{a.n_heads} * (a.qk_nope_dim + a.qk_rope_dim) ||
      in[1].shape != Shape{a.n_heads, a.kv_lora_rank, a.qk_nope_dim} ||
      in[2].shape != Shape{a.n_heads, a.v_dim, a.kv_lora_rank} ||
      in[3].shape.cols() != a.kv_lora_rank + a.qk_rope_dim)
    return shape_error(Op::kMlaAttention, "q {}, k_b {}, v_b {} and latent {} do not fit",
                       to_string(in[0].shape), to_string(in[1].shape), to_string(in[2].shape),
                       to_string(in[3].shape));
  return TensorDesc{DType::kF32, Shape{in[0].shape[0], int64_t{a.n_heads} * a.v_dim}};
}

/// Keys (n_kv, nope + rope) and values (n_kv, v) of one head, rebuilt from the latent rows.
struct Head {
  std::vector<double> keys, values;
};

Head rebuild(const OpCall& call, const MlaAttrs& a, int head,
             const std::vector<std::vector<float>>& latent) {
  const size_t n_kv = latent.size(), nope = static_cast<size_t>(a.qk_nope_dim);
  const size_t qk = nope + static_cast<size_t>(a.qk_rope_dim), v = static_cast<size_t>(a.v_dim);
  const size_t rank = static_cast<size_t>(a.kv_lora_rank);
  Head out{std::vector<double>(n_kv * qk), std::vector<double>(n_kv * v)};
  for (size_t l = 0; l < rank; ++l) {
    const auto w = decode_row(call.in[1], static_cast<int64_t>(l) + int64_t{head} * a.kv_lora_rank);
    for (size_t j = 0; j < n_kv; ++j)
      for (size_t i = 0; i < nope; ++i)
        out.keys[j * qk + i] += static_cast<double>(w[i]) * latent[j][l];
  }
  for (size_t d = 0; d < v; ++d) {
    const auto w = decode_row(call.in[2], static_cast<int64_t>(d) + int64_t{head} * a.v_dim);
    for (size_t j = 0; j < n_kv; ++j) out.values[j * v + d] = dot(w, latent[j].data());
  }
  for (size_t j = 0; j < n_kv; ++j)
    for (size_t i = nope; i < qk; ++i) out.keys[j * qk + i] = latent[j][rank + i - nope];
  return out;
}

void attend(const MlaAttrs& a, const Head& head, const float* q, size_t n_kv, float* out) {
  const size_t qk = static_cast<size_t>(a.qk_nope_dim + a.qk_rope_dim);
  const size_t v = static_cast<size_t>(a.v_dim);
  std::vector<double> p(n_kv);
  for (size_t j = 0; j < n_kv; ++j) {
    for (size_t i = 0; i < qk; ++i) p[j] += q[i] * head.keys[j * qk + i];
    p[j] *= static_cast<double>(a.scale);
  }
  const double largest = *std::ranges::max_element(p);
  double sum = 0;
  for (double& x : p) sum += x = std::exp(x - largest);
  for (size_t d = 0; d < v; ++d) {
    double o = 0;
    for (size_t j = 0; j < n_kv; ++j) o += p[j] * head.values[j * v + d];
    out[d] = static_cast<float>(o / sum);
  }
}

void reference(const OpCall& call) {
  const auto& a = std::get<MlaAttrs>(call.attrs);
  for (const SequenceSlice& sequence : call.step.sequences) {
    const int n_kv = sequence.first_position + sequence.n_tokens;
    std::vector<std::vector<float>> latent(
        static_cast<size_t>(n_kv),
        std::vector<float>(static_cast<size_t>(a.kv_lora_rank + a.qk_rope_dim)));
    for (int j = 0; j < n_kv; ++j)
      call.step.cache->read_row(a.layer, sequence, j, latent[static_cast<size_t>(j)].data());
    for (int h = 0; h < a.n_heads; ++h) {
      const Head head = rebuild(call, a, h, latent);
      for (int i = 0; i < sequence.n_tokens; ++i) {
        const ptrdiff_t row = static_cast<ptrdiff_t>(sequence.first_token + i) * a.n_heads + h;
        attend(a, head, call.in[0].f32() + row * (a.qk_nope_dim + a.qk_rope_dim),
               static_cast<size_t>(sequence.first_position + i + 1), call.out + row * a.v_dim);
      }
    }
  }
}

}  // namespace

extern const OpDef kMlaAttentionOp;
const OpDef kMlaAttentionOp{"mla_attention", shape, reference};

}  // namespace minke
