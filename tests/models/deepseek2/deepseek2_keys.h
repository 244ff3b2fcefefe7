// The metadata of small, well-formed deepseek2 files, for tests that change one key at a time.
#pragma once

#include "tests/gguf_builder.h"

namespace minke::test {

/// V2-Lite's values, in the layout since April 2025.
inline GgufBuilder lite_keys() {
  GgufBuilder b;
  b.string("general.architecture", "deepseek2");
  b.u32("deepseek2.block_count", 27).u32("deepseek2.context_length", 163840);
  b.u32("deepseek2.embedding_length", 2048).u32("deepseek2.feed_forward_length", 10944);
  b.u32("deepseek2.vocab_size", 102400).u32("deepseek2.leading_dense_block_count", 1);
  b.u32("deepseek2.attention.head_count", 16).u32("deepseek2.attention.head_count_kv", 1);
  b.f32("deepseek2.attention.layer_norm_rms_epsilon", 1e-6f);
  b.u32("deepseek2.attention.kv_lora_rank", 512);
  b.u32("deepseek2.attention.key_length", 576).u32("deepseek2.attention.value_length", 512);
  b.u32("deepseek2.attention.key_length_mla", 192);
  b.u32("deepseek2.attention.value_length_mla", 128);
  b.u32("deepseek2.expert_count", 64).u32("deepseek2.expert_used_count", 6);
  b.u32("deepseek2.expert_shared_count", 2).u32("deepseek2.expert_feed_forward_length", 1408);
  b.f32("deepseek2.expert_weights_scale", 1.0f);
  b.u32("deepseek2.rope.dimension_count", 64).f32("deepseek2.rope.freq_base", 10000.0f);
  b.string("deepseek2.rope.scaling.type", "yarn").f32("deepseek2.rope.scaling.factor", 40.0f);
  b.u32("deepseek2.rope.scaling.original_context_length", 4096);
  b.f32("deepseek2.rope.scaling.yarn_log_multiplier", 0.0707f);
  return b;
}

}  // namespace minke::test
