#include "runtime/latent_cache.h"
#include "runtime/ops/op.h"

namespace minke {
namespace {

Result<TensorDesc> shape(const Attrs& attrs, std::span<const TensorDesc> in) {
  const auto& a = std::get<LatentStoreAttrs>(attrs);
  if (in[0].shape.cols() != a.kv_lora_rank + in[2].shape.cols() ||
      in[1] != TensorDesc{DType::kF32, Shape{a.kv_lora_rank}})
    return shape_error(Op::kLatentStore, "{} is not a latent of {} and {} rotated values",
                       to_string(in[0].shape), a.kv_lora_rank, in[2].shape.cols());
  return in[0];
}

void reference(const OpCall& call) {
  const auto& a = std::get<LatentStoreAttrs>(call.attrs);
  const size_t rank = static_cast<size_t>(a.kv_lora_rank);
  const size_t n = static_cast<size_t>(call.in[0].cols());
  for (const SequenceSlice& sequence : call.step.sequences) {
    for (int i = 0; i < sequence.n_tokens; ++i) {
      const size_t r = static_cast<size_t>(sequence.first_token + i);
      const float* x = call.in[0].f32() + r * n;
      float* y = call.out + r * n;
      rms_norm_row({x, rank}, call.in[1].f32(), a.eps, y);
      rotate_pairs({x + rank, n - rank}, call.in[2].f32() + r * (n - rank), y + rank);
      call.step.cache->write_row(a.layer, sequence, sequence.first_position + i, y);
    }
  }
}

}  // namespace

extern const OpDef kLatentStoreOp;
const OpDef kLatentStoreOp{"latent_store", shape, reference};

}  // namespace minke
