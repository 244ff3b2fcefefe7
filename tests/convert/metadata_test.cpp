#include "convert/metadata.h"

#include "tests/convert/convert_support.h"

using namespace minke;
using minke::test::converted;
using minke::test::TinyModel;

TEST_CASE("metadata has the keys and types that readers of deepseek2 expect") {
  const test::TempDir dir;
  TinyModel model;
  model.config["topk_method"] = "group_limited_greedy";
  model.config["n_group"] = 2;
  model.config["topk_group"] = 1;
  model.write_texts(dir / "m");
  test::write_file(dir / "m/generation_config.json", R"({"temperature":0.3,"top_k":40})");
  const GgufFile file = converted(model, dir, "Q8_0");
  const std::pair<const char*, uint64_t> numbers[] = {
      {"general.file_type", 7},
      {"general.quantization_version", 2},
      {"general.sampling.top_k", 40},
      {"deepseek2.block_count", 2},
      {"deepseek2.context_length", 2560},
      {"deepseek2.embedding_length", 64},
      {"deepseek2.feed_forward_length", 256},
      {"deepseek2.vocab_size", 5000},
      {"deepseek2.leading_dense_block_count", 1},
      {"deepseek2.attention.head_count", 2},
      {"deepseek2.attention.head_count_kv", 1},
      {"deepseek2.attention.q_lora_rank", 0},
      {"deepseek2.attention.kv_lora_rank", 32},
      {"deepseek2.attention.key_length", 40},
      {"deepseek2.attention.value_length", 32},
      {"deepseek2.attention.key_length_mla", 40},
      {"deepseek2.attention.value_length_mla", 16},
      {"deepseek2.expert_count", 4},
      {"deepseek2.expert_used_count", 2},
      {"deepseek2.expert_shared_count", 1},
      {"deepseek2.expert_feed_forward_length", 32},
      {"deepseek2.expert_gating_func", 1},
      {"deepseek2.expert_group_count", 2},
      {"deepseek2.expert_group_used_count", 1},
      {"deepseek2.rope.dimension_count", 8},
      {"deepseek2.rope.scaling.original_context_length", 64},
      {"tokenizer.ggml.bos_token_id", 28},
      {"tokenizer.ggml.eos_token_id", 29},
  };
  const std::pair<const char*, float> fractions[] = {
      {"general.sampling.temp", 0.3f},
      {"deepseek2.attention.layer_norm_rms_epsilon", 1e-6f},
      {"deepseek2.expert_weights_scale", 2.5f},
      {"deepseek2.rope.freq_base", 10000.0f},
      {"deepseek2.rope.scaling.factor", 40.0f},
      {"deepseek2.rope.scaling.yarn_beta_fast", 32.0f},
      {"deepseek2.rope.scaling.yarn_beta_slow", 1.0f},
      {"deepseek2.rope.scaling.yarn_log_multiplier", 0.0707f},
  };
  const std::pair<const char*, std::string_view> texts[] = {
      {"general.architecture", "deepseek2"},
      {"general.type", "model"},
      {"general.name", "m"},
      {"deepseek2.rope.scaling.type", "yarn"},
      {"tokenizer.ggml.model", "gpt2"},
      {"tokenizer.ggml.pre", "deepseek-v3"},
      {"tokenizer.chat_template", "{{ bos_token }}"},
  };
  size_t n_keys = 0;
  const auto type_of = [&](const char* key) {
    ++n_keys;
    for (const GgufFile::Entry& e : file.entries()) {
      if (e.key == key) return e.type;
    }
    FAIL("no key ", key);
    return GgufType::kArray;
  };
  for (const auto& pair : numbers) {
    const auto key = pair.first;
    const auto value = pair.second;
    CAPTURE(key);
    CHECK(type_of(key) == GgufType::kU32);
    CHECK(*file.get_uint(key) == value);
  }
  for (const auto& pair : fractions) {
    const auto key = pair.first;
    const auto value = pair.second;
    CAPTURE(key);
    CHECK(type_of(key) == GgufType::kF32);
    CHECK(static_cast<float>(*file.get_float(key)) == value);
  }
  for (const auto& pair : texts) {
    const auto key = pair.first;
    const auto value = pair.second;
    CAPTURE(key);
    CHECK(type_of(key) == GgufType::kString);
    CHECK(*file.get_string(key) == value);
  }
  CHECK(type_of("deepseek2.expert_weights_norm") == GgufType::kBool);
  CHECK(type_of("tokenizer.ggml.add_bos_token") == GgufType::kBool);
  CHECK(type_of("tokenizer.ggml.add_eos_token") == GgufType::kBool);
  CHECK(*file.get_bool("tokenizer.ggml.add_bos_token"));
  CHECK(type_of("tokenizer.ggml.tokens") == GgufType::kArray);
  CHECK(type_of("tokenizer.ggml.token_type") == GgufType::kArray);
  CHECK(type_of("tokenizer.ggml.merges") == GgufType::kArray);
  CHECK(file.get_strings("tokenizer.ggml.tokens")->size() == 5000);
  CHECK(type_of("minke.tensor_sha256") == GgufType::kArray);
  CHECK(type_of("minke.tensor_layout_sha256") == GgufType::kString);
  CHECK(type_of("minke.source_sha256") == GgufType::kArray);
  CHECK(n_keys == file.entries().size());
}
