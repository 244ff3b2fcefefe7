#include "convert/hf_config.h"

#include <doctest/doctest.h>

#include "tests/convert/checkpoint_builder.h"
#include "tests/support.h"

using namespace minke;
using namespace minke::convert;
using minke::test::TinyModel;

namespace {

Result<HfConfig> read(const nlohmann::json& config) {
  const test::TempDir dir;
  test::write_file(dir / "config.json", config.dump());
  return read_hf_config(dir.path());
}

}  // namespace

TEST_CASE("config.json's values arrive") {
  const auto config = read(TinyModel().config);
  REQUIRE(config);
  CHECK(config->n_layers == 2);
  CHECK(config->q_lora_rank == 0);
  CHECK(config->routed_scale == 2.5);
  CHECK(config->n_groups == 1);
  REQUIRE(config->yarn);
  CHECK(config->yarn->factor == 40);
  CHECK(config->yarn->mscale_all_dim == 0.707);
}

TEST_CASE("newer files keep all of RoPE in rope_parameters") {
  nlohmann::json text = TinyModel().config;
  text["rope_parameters"] = text["rope_scaling"];
  text["rope_parameters"]["rope_type"] = "yarn";
  text["rope_parameters"]["rope_theta"] = 50000.0;
  text["rope_parameters"].erase("type");
  text.erase("rope_scaling");
  text.erase("rope_theta");
  const auto config = read(text);
  REQUIRE(config);
  CHECK(config->rope_theta == 50000);
  REQUIRE(config->yarn);
  CHECK(config->yarn->original_ctx == 64);
}

TEST_CASE("groups count only where the routing is group-limited") {
  nlohmann::json text = TinyModel().config;
  text["n_group"] = 2;
  text["topk_group"] = 1;
  CHECK(read(text)->n_groups == 1);
  text["topk_method"] = "group_limited_greedy";
  CHECK(read(text)->n_groups == 2);
  CHECK(read(text)->n_groups_used == 1);
  text["n_group"] = 3;
  CHECK_FALSE(read(text));
  text["n_group"] = 4;  // one group holds one expert, two are needed
  CHECK_FALSE(read(text));
}

TEST_CASE("a value of config.json that makes no sense is refused by name") {
  const char* counts[] = {"hidden_size",
                          "num_hidden_layers",
                          "num_attention_heads",
                          "vocab_size",
                          "kv_lora_rank",
                          "qk_nope_head_dim",
                          "qk_rope_head_dim",
                          "v_head_dim",
                          "intermediate_size",
                          "n_routed_experts",
                          "num_experts_per_tok",
                          "moe_intermediate_size",
                          "max_position_embeddings"};
  for (const char* key : counts) {
    CAPTURE(key);
    for (const char* value : {"0", "-1", "1000000000", "2.5", "\"64\"", "[64]", "true", "null",
                              "18446744073709551616"}) {
      CAPTURE(value);
      nlohmann::json text = TinyModel().config;
      text[key] = nlohmann::json::parse(value);
      const auto config = read(text);
      REQUIRE_FALSE(config);
      CHECK(config.error().code == Errc::kContent);
      CHECK(config.error().message.find(key) != std::string::npos);
      CHECK(config.error().message.find("config.json") != std::string::npos);
    }
  }
  for (const char* value : {"0", "-1", "1e300", "\"x\"", "true"}) {
    CAPTURE(value);
    nlohmann::json text = TinyModel().config;
    text["routed_scaling_factor"] = nlohmann::json::parse(value);
    CHECK_FALSE(read(text));
    text = TinyModel().config;
    text["rms_norm_eps"] = nlohmann::json::parse(value);
    CHECK_FALSE(read(text));
    text = TinyModel().config;
    text["rope_scaling"]["mscale_all_dim"] = nlohmann::json::parse(value);
    CHECK_FALSE(read(text));
  }
}

TEST_CASE("another architecture, or an option that GGUF cannot say, is unsupported") {
  const std::pair<const char*, nlohmann::json> options[] = {
      {"architectures", {"LlamaForCausalLM"}},
      {"architectures", {"DeepseekV3ForCausalLM"}},
      {"hidden_act", "gelu"},
      {"scoring_func", "sigmoid"},
      {"topk_method", "noaux_tc"},
      {"attention_bias", true},
      {"moe_layer_freq", 2},
      {"num_key_value_heads", 1},
  };
  for (const auto& option : options) {
    const char* key = option.first;
    CAPTURE(key);
    nlohmann::json text = TinyModel().config;
    text[key] = option.second;
    const auto config = read(text);
    REQUIRE_FALSE(config);
    CHECK(config.error().code == Errc::kUnsupported);
    CHECK(config.error().message.find(key) != std::string::npos);
  }
  nlohmann::json text = TinyModel().config;
  text["rope_scaling"]["mscale"] = 1.0;
  CHECK(read(text).error().code == Errc::kUnsupported);
  text["rope_scaling"]["type"] = "linear";
  CHECK(read(text).error().code == Errc::kUnsupported);
  text["architectures"] = "DeepseekV2ForCausalLM";
  CHECK(read(text).error().code == Errc::kContent);
}

TEST_CASE("config.json that is missing, no JSON, deep or has a key twice is refused") {
  const test::TempDir dir;
  CHECK(read_hf_config(dir.path()).error().code == Errc::kMissing);
  for (const std::string& text :
       {std::string("{"), std::string("[]"), std::string(), std::string("{\"a\":1,\"a\":2}"),
        std::string("\xff"), std::string(100'000, '['), std::string(5 << 20, ' ')}) {
    test::write_file(dir / "config.json", text);
    const auto config = read_hf_config(dir.path());
    REQUIRE_FALSE(config);
    CHECK(config.error().code == Errc::kContent);
    CHECK(config.error().message.size() < 400);
  }
}

TEST_CASE("generation_config.json gives the defaults of sampling") {
  const test::TempDir dir;
  const auto read_text = [&](const char* text) {
    test::write_file(dir / "generation_config.json", text);
    return read_hf_generation(dir.path());
  };
  CHECK_FALSE(read_hf_generation(dir.path())->temperature);
  const auto generation = read_text(R"({"do_sample":true,"temperature":0.3,"top_p":0.95})");
  REQUIRE(generation);
  CHECK(generation->temperature == 0.3);
  CHECK(generation->top_p == 0.95);
  CHECK_FALSE(generation->top_k);
  CHECK(read_text(R"({"do_sample":false,"temperature":0.3})")->temperature == 0.0);
  CHECK_FALSE(read_text(R"({"temperature":-1})"));
  CHECK_FALSE(read_text(R"({"top_p":1.5})"));
  CHECK_FALSE(read_text(R"({"top_k":2.5})"));
}
