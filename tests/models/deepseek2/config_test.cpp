#include "models/deepseek2/config.h"

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "tests/models/deepseek2/deepseek2_keys.h"
#include "tests/support.h"

using namespace minke;
using namespace minke::test;
using deepseek2::Config;

namespace {

Result<Config> config_of(const GgufBuilder& builder) {
  const TempDir dir;
  write_file(dir / "m.gguf", builder.build());
  MINKE_ASSIGN(const GgufFile file, GgufFile::open(dir / "m.gguf"));
  return deepseek2::read_config(file);
}

Config good_config(const GgufBuilder& builder) {
  auto config = config_of(builder);
  if (!config) FAIL(config.error().message);
  return *config;
}

std::string k(std::string_view name) { return "deepseek2." + std::string(name); }

}  // namespace

TEST_CASE("config: V2-Lite, both layouts of the head dimensions") {
  for (const bool old_layout : {false, true}) {
    GgufBuilder b = lite_keys();
    if (old_layout) {
      b.without(k("attention.key_length_mla")).without(k("attention.value_length_mla"));
      b.without(k("attention.key_length")).without(k("attention.value_length"));
      b.u32(k("attention.key_length"), 192).u32(k("attention.value_length"), 128);
      b.without(k("attention.head_count_kv")).u32(k("attention.head_count_kv"), 16);
    }
    const Config c = good_config(b);
    CHECK(c.n_layers == 27);
    CHECK(c.n_ctx_train == 163840);
    CHECK(c.hidden == 2048);
    CHECK(c.n_heads == 16);
    CHECK(c.n_vocab == 102400);
    CHECK(c.rms_eps == 1e-6f);
    CHECK(c.q_lora_rank == 0);
    CHECK(c.kv_lora_rank == 512);
    CHECK(c.qk_nope_dim == 128);
    CHECK(c.qk_rope_dim == 64);
    CHECK(c.v_dim == 128);
    CHECK(c.qk_dim() == 192);
    CHECK(c.latent_dim() == 576);
    CHECK(c.n_dense_layers == 1);
    CHECK(c.dense_ff == 10944);
    CHECK(c.n_experts == 64);
    CHECK(c.n_experts_used == 6);
    CHECK(c.n_shared_experts == 2);
    CHECK(c.expert_ff == 1408);
    CHECK(c.n_expert_groups == 1);
    CHECK(c.n_expert_groups_used == 1);
    CHECK_FALSE(c.expert_groups_guessed);
    CHECK_FALSE(c.expert_weights_norm);
    CHECK(c.gating == deepseek2::ExpertGating::kSoftmax);
    CHECK(c.yarn_factor == 40.0f);
    CHECK(c.yarn_original_ctx == 4096);
    CHECK(c.yarn_beta_fast == 32.0f);
    // m = 0.1 * 0.707 * ln 40 + 1 = 1.2608038...; m^2 / sqrt(192)
    CHECK(c.attention_scale() == doctest::Approx(0.1147214).epsilon(1e-5));
  }
}

TEST_CASE("config: group routing is read, and known by the 236B's number of experts") {
  GgufBuilder b = lite_keys();
  b.without(k("expert_count")).u32(k("expert_count"), 160);
  Config c = good_config(b);
  CHECK(c.n_expert_groups == 8);
  CHECK(c.n_expert_groups_used == 3);
  CHECK(c.expert_groups_guessed);
  b.u32(k("expert_group_count"), 4).u32(k("expert_group_used_count"), 2);
  c = good_config(b);
  CHECK(c.n_expert_groups == 4);
  CHECK(c.n_expert_groups_used == 2);
  CHECK_FALSE(c.expert_groups_guessed);
}

TEST_CASE("config: without YaRN the scale is that of the head, without experts all is dense") {
  GgufBuilder b = lite_keys();
  b.without(k("rope.scaling.type")).without(k("leading_dense_block_count"));
  b.u32(k("leading_dense_block_count"), 27).without(k("expert_count"));
  const Config c = good_config(b);
  CHECK(c.yarn_factor == 1.0f);
  CHECK(c.attention_scale() == doctest::Approx(1 / std::sqrt(192.0)));
  CHECK(c.n_experts == 0);
}

TEST_CASE("config: the vocabulary's size comes from the list of tokens if no key gives it") {
  GgufBuilder b = lite_keys();
  b.without(k("vocab_size")).strings("tokenizer.ggml.tokens", {"a", "b", "c"});
  CHECK(good_config(b).n_vocab == 3);
}

TEST_CASE("config: every bad value is an error that names the key and what is allowed") {
  using Change = std::function<void(GgufBuilder&)>;
  struct Case {
    std::string key;
    Change change;
    std::string part;
    Errc code = Errc::kContent;
  };
  const auto u32 = [](uint32_t value) {
    return [value](GgufBuilder& b, const std::string& key) { b.u32(key, value); };
  };
  const auto f32 = [](float value) {
    return [value](GgufBuilder& b, const std::string& key) { b.f32(key, value); };
  };
  const auto remove = [](GgufBuilder&, const std::string&) {};
  const auto set = [](const std::string& key, auto put, const std::string& part,
                      Errc code = Errc::kContent) {
    return Case{key,
                [key, put](GgufBuilder& b) {
                  b.without(key);
                  put(b, key);
                },
                part, code};
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float inf = std::numeric_limits<float>::infinity();
  const auto text = [](const char* value) {
    return [value](GgufBuilder& b, const std::string& key) { b.string(key, value); };
  };
  const std::vector<Case> cases = {
      set("general.architecture", remove, "missing"),
      set("general.architecture", text("llama"), "got 'llama'", Errc::kUnsupported),
      set("general.architecture", u32(1), "wrong type (got u32"),
      set(k("block_count"), u32(0), "out of range (got 0, allowed 1 to 1024)"),
      set(k("block_count"), u32(1000000000), "out of range"),
      set(k("block_count"), remove, "missing"),
      set(k("block_count"), f32(27), "wrong type"),
      set(k("context_length"), u32(0), "out of range"),
      set(k("embedding_length"), u32(0), "out of range"),
      set(k("embedding_length"), u32(4000000000U), "out of range"),
      set(k("feed_forward_length"), u32(0), "out of range"),
      set(k("vocab_size"), u32(0), "out of range"),
      set(k("vocab_size"), remove, "the file lists no tokens"),
      set(k("leading_dense_block_count"), u32(28), "allowed 0 to 27"),
      set(k("attention.head_count"), u32(0), "out of range"),
      set(k("attention.head_count_kv"), u32(2), "allowed 1 or 16"),
      set(k("attention.layer_norm_rms_epsilon"), f32(0), "out of range"),
      set(k("attention.layer_norm_rms_epsilon"), f32(-1), "out of range"),
      set(k("attention.layer_norm_rms_epsilon"), f32(nan), "out of range (got nan"),
      set(k("attention.layer_norm_rms_epsilon"), f32(inf), "out of range (got inf"),
      set(k("attention.kv_lora_rank"), u32(0), "out of range"),
      set(k("attention.kv_lora_rank"), remove, "missing"),
      set(k("attention.q_lora_rank"), u32(1U << 31), "out of range"),
      set(k("attention.key_length_mla"), remove, "missing"),
      set(k("attention.value_length_mla"), u32(0), "out of range"),
      set(k("attention.key_length"), u32(100), "allowed 576 or 192"),
      set(k("rope.dimension_count"), u32(63), "an even number below 192"),
      set(k("rope.dimension_count"), u32(192), "an even number below 192"),
      set(k("rope.freq_base"), f32(0), "out of range"),
      set(k("rope.freq_base"), f32(1), "out of range"),
      set(k("rope.scaling.type"), text("linear"), "got 'linear'", Errc::kUnsupported),
      set(k("rope.scaling.factor"), f32(0), "out of range"),
      set(k("rope.scaling.factor"), remove, "missing"),
      set(k("rope.scaling.original_context_length"), u32(0), "out of range"),
      set(k("rope.scaling.yarn_log_multiplier"), f32(nan), "out of range"),
      set(k("rope.scaling.yarn_beta_slow"), f32(32), "allowed below 32"),
      set(k("expert_count"), u32(0), "out of range"),
      set(k("expert_used_count"), u32(65), "allowed 1 to 64"),
      set(k("expert_used_count"), u32(0), "out of range"),
      set(k("expert_feed_forward_length"), u32(0), "out of range"),
      set(k("expert_shared_count"), u32(100000), "out of range"),
      set(k("expert_weights_scale"), f32(inf), "out of range"),
      set(k("expert_weights_norm"), u32(1), "wrong type"),
      set(k("expert_gating_func"), u32(2), "sigmoid", Errc::kUnsupported),
      set(k("expert_gating_func"), u32(7), "unknown"),
      set(k("expert_group_count"), u32(7), "does not divide"),
      set(k("expert_group_count"), u32(65), "allowed 0 to 64"),
      Case{k("expert_group_used_count"),
           [](GgufBuilder& b) {
             b.u32(k("expert_group_count"), 8).u32(k("expert_group_used_count"), 9);
           },
           "allowed 0 to 8"},
      Case{k("expert_used_count"),
           [](GgufBuilder& b) {
             b.without(k("expert_used_count")).u32(k("expert_used_count"), 9);
             b.u32(k("expert_group_count"), 8).u32(k("expert_group_used_count"), 1);
           },
           "allowed 8"},
      Case{k("vocab_size"),
           [](GgufBuilder& b) {
             b.without(k("vocab_size")).u32(k("vocab_size"), 2);
             b.strings("tokenizer.ggml.tokens", {"a", "b", "c"});
           },
           "allowed 3 or more"},
  };
  for (const Case& c : cases) {
    GgufBuilder b = lite_keys();
    c.change(b);
    const auto config = config_of(b);
    INFO(c.key << ", " << c.part);
    REQUIRE_FALSE(config);
    INFO(config.error().message);
    CHECK(config.error().code == c.code);
    CHECK(config.error().message.find("key '" + c.key + "'") != std::string::npos);
    CHECK(config.error().message.find(c.part) != std::string::npos);
    CHECK(config.error().message.find('\n') == std::string::npos);
  }
}
