#include "models/deepseek2/weights.h"

#include <doctest/doctest.h>

#include <cstring>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/gguf_builder.h"
#include "tests/support.h"

using namespace minke;
using namespace minke::test;

namespace {

enum class Layout { kOld, kNew, kBoth };

constexpr uint64_t kHidden = 32;
constexpr uint64_t kHeads = 2;
constexpr uint64_t kRank = 32;
constexpr uint64_t kNope = 16;
constexpr uint64_t kRope = 8;
constexpr uint64_t kValue = 16;
constexpr uint64_t kExperts = 4;

GgufBuilder small_keys() {
  GgufBuilder b;
  b.string("general.architecture", "deepseek2");
  b.u32("deepseek2.block_count", 2).u32("deepseek2.context_length", 64);
  b.u32("deepseek2.embedding_length", kHidden).u32("deepseek2.feed_forward_length", 32);
  b.u32("deepseek2.vocab_size", 4).u32("deepseek2.leading_dense_block_count", 1);
  b.u32("deepseek2.attention.head_count", kHeads).u32("deepseek2.attention.kv_lora_rank", kRank);
  b.f32("deepseek2.attention.layer_norm_rms_epsilon", 1e-6f);
  b.u32("deepseek2.attention.key_length_mla", kNope + kRope);
  b.u32("deepseek2.attention.value_length_mla", kValue);
  b.u32("deepseek2.rope.dimension_count", kRope);
  b.u32("deepseek2.expert_count", kExperts).u32("deepseek2.expert_used_count", 2);
  b.u32("deepseek2.expert_shared_count", 1).u32("deepseek2.expert_feed_forward_length", 32);
  return b;
}

/// Element (head, row of the head, column) of attn_kv_b; small integers, exact in F16.
float kv_b_value(uint64_t head, uint64_t row, uint64_t col) {
  return static_cast<float>(head * 1000 + row * 32 + col);
}

std::string values(const std::vector<float>& v) {
  return {reinterpret_cast<const char*>(v.data()), v.size() * sizeof(float)};
}

void add_kv(GgufBuilder& b, const std::string& blk, Layout layout) {
  std::vector<float> whole, keys, value_rows;
  for (uint64_t h = 0; h < kHeads; ++h) {
    for (uint64_t r = 0; r < kNope + kValue; ++r) {
      for (uint64_t l = 0; l < kRank; ++l) {
        whole.push_back(kv_b_value(h, r, l));
        if (r >= kNope) value_rows.push_back(kv_b_value(h, r, l));
      }
    }
    for (uint64_t l = 0; l < kRank; ++l) {
      for (uint64_t r = 0; r < kNope; ++r) keys.push_back(kv_b_value(h, r, l));
    }
  }
  if (layout != Layout::kNew) {
    b.tensor(blk + "attn_kv_b.weight", {kRank, kHeads * (kNope + kValue)}, 0, values(whole));
  }
  if (layout != Layout::kOld) {
    b.tensor(blk + "attn_k_b.weight", {kNope, kRank, kHeads}, 0, values(keys));
    b.tensor(blk + "attn_v_b.weight", {kRank, kValue, kHeads}, 0, values(value_rows));
  }
}

/// A whole model; `left_out` is the name of a tensor that is not written.
GgufBuilder small_model(Layout layout, std::string_view left_out = "") {
  GgufBuilder b = small_keys();
  const auto add = [&](const std::string& name, const std::vector<uint64_t>& dims) {
    if (name != left_out) b.zeros(name, dims);
  };
  add("token_embd.weight", {kHidden, 4});
  add("output_norm.weight", {kHidden});
  add("output.weight", {kHidden, 4});
  for (int i = 0; i < 2; ++i) {
    const std::string blk = i == 0 ? "blk.0." : "blk.1.";
    add(blk + "attn_norm.weight", {kHidden});
    add(blk + "attn_q.weight", {kHidden, kHeads * (kNope + kRope)});
    add(blk + "attn_kv_a_mqa.weight", {kHidden, kRank + kRope});
    add(blk + "attn_kv_a_norm.weight", {kRank});
    add_kv(b, blk, layout);
    add(blk + "attn_output.weight", {kHeads * kValue, kHidden});
    add(blk + "ffn_norm.weight", {kHidden});
    for (const char* part : {"gate", "up", "down"}) {
      const std::string ffn = blk + "ffn_" + part;
      if (i == 0) add(ffn + ".weight", {kHidden, kHidden});
      if (i == 1) add(ffn + "_exps.weight", {kHidden, kHidden, kExperts});
      if (i == 1) add(ffn + "_shexp.weight", {kHidden, kHidden});
    }
    if (i == 1) add(blk + "ffn_gate_inp.weight", {kHidden, kExperts});
  }
  return b;
}

/// Opens a model and hands its weights over while the file is open.
Status with_weights(const GgufBuilder& b,
                    const std::function<void(const deepseek2::Weights&)>& use) {
  const TempDir dir;
  write_file(dir / "m.gguf", b.build());
  MINKE_ASSIGN(const GgufFile file, GgufFile::open(dir / "m.gguf"));
  MINKE_ASSIGN(const deepseek2::Config config, deepseek2::read_config(file));
  MINKE_ASSIGN(const deepseek2::Weights weights, deepseek2::load_weights(file, config));
  use(weights);
  return {};
}

}  // namespace

TEST_CASE("weights: the three layouts of keys and values give the same two matrices") {
  for (const Layout layout : {Layout::kOld, Layout::kNew, Layout::kBoth}) {
    INFO(static_cast<int>(layout));
    const Status status = with_weights(small_model(layout), [&](const deepseek2::Weights& weights) {
      REQUIRE(weights.layers.size() == 2);
      CHECK((weights.owned_bytes() == 0) == (layout != Layout::kOld));
      for (const auto& layer : weights.layers) {
        REQUIRE(layer.k_b.desc == TensorDesc{DType::kF32, Shape{kHeads, kRank, kNope}});
        REQUIRE(layer.v_b.desc == TensorDesc{DType::kF32, Shape{kHeads, kValue, kRank}});
        size_t wrong = 0;
        for (uint64_t h = 0; h < kHeads; ++h) {
          for (uint64_t l = 0; l < kRank; ++l) {
            float k = -1;
            float v = -1;
            std::memcpy(&k, layer.k_b.data + ((h * kRank + l) * kNope + 5) * sizeof(k), sizeof(k));
            std::memcpy(&v, layer.v_b.data + ((h * kValue + 7) * kRank + l) * sizeof(v), sizeof(v));
            wrong += k != kv_b_value(h, 5, l);
            wrong += v != kv_b_value(h, kNope + 7, l);
          }
        }
        CHECK(wrong == 0);
      }
    });
    if (!status) FAIL(status.error().message);
  }
}

TEST_CASE("weights: a file whose tensors do not fit its metadata is refused") {
  const auto refused = [](const GgufBuilder& b, Errc code, const std::string& part) {
    const Status status = with_weights(b, [](const deepseek2::Weights&) {});
    INFO(part);
    REQUIRE_FALSE(status);
    INFO(status.error().message);
    CHECK(status.error().code == code);
    CHECK(status.error().message.find(part) != std::string::npos);
    CHECK(status.error().message.find('\n') == std::string::npos);
  };
  const auto with = [](std::string_view key, uint32_t value) {
    const std::string name = "deepseek2." + std::string(key);
    return small_model(Layout::kNew).without(name).u32(name, value);
  };
  for (const char* name : {"token_embd.weight", "output_norm.weight", "blk.0.attn_q.weight",
                           "blk.1.ffn_down_exps.weight", "blk.1.ffn_gate_inp.weight"}) {
    refused(small_model(Layout::kNew, name), Errc::kContent,
            "tensor '" + std::string(name) + "' is missing");
  }
  refused(with("embedding_length", 64), Errc::kShape, "tensor 'token_embd.weight': shape does not");
  refused(with("attention.head_count", 4), Errc::kShape, "tensor 'blk.0.attn_q.weight': shape");
  refused(with("expert_count", 8), Errc::kShape, "tensor 'blk.1.ffn_gate_inp.weight': shape");
  // A part of the model would silently stay out of its answers.
  refused(with("block_count", 1), Errc::kContent, "tensor 'blk.1.attn_norm.weight': nothing uses");
  refused(with("expert_shared_count", 0), Errc::kContent, "_shexp.weight': nothing uses");
  refused(small_model(Layout::kNew).zeros("blk.0.attn_output.bias", {kHidden}), Errc::kContent,
          "tensor 'blk.0.attn_output.bias': nothing uses");
}
