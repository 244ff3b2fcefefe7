// Writes small Hugging Face checkpoints by hand, well-formed or broken on purpose.
#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/support.h"

namespace minke::test {

using nlohmann::json;

struct RawTensor {
  std::string name;
  std::string dtype;
  std::vector<int64_t> shape;
  std::string data;
};

/// A safetensors file of any header text.
inline std::string safetensors_file(std::string_view header, std::string_view data = "") {
  const uint64_t length = header.size();
  std::string file(sizeof length, '\0');
  std::memcpy(file.data(), &length, sizeof length);
  return file.append(header).append(data);
}

inline std::string safetensors_file(const std::vector<RawTensor>& tensors) {
  json header = {{"__metadata__", {{"format", "pt"}}}};
  std::string data;
  for (const RawTensor& t : tensors) {
    header[t.name] = {{"dtype", t.dtype},
                      {"shape", t.shape},
                      {"data_offsets", {data.size(), data.size() + t.data.size()}}};
    data += t.data;
  }
  return safetensors_file(header.dump(), data);
}

inline std::string bytes_of(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

inline std::vector<float> floats_of(std::string_view bytes) {
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

inline std::string bf16_bytes(const std::vector<float>& values) {
  std::string bytes;
  for (const float v : values) {
    bytes.append(reinterpret_cast<const char*>(&v) + 2, 2);  // cut: exact for what tests use
  }
  return bytes;
}

/// A whole model of two layers, one dense and one of experts. Change it, then write() it.
struct TinyModel {
  json config, tokenizer, tokenizer_config;
  std::vector<RawTensor> tensors;

  static constexpr int64_t kVocab = 5000;  // more rows than one piece of the conversion has
  static constexpr int64_t kHidden = 64, kHeads = 2, kNope = 32, kRope = 8, kV = 16, kLatent = 32,
                           kDenseFf = 256, kExperts = 4, kExpertFf = 32;

  TinyModel() {
    make_config();
    make_tokenizer();
    make_tensors();
  }

  RawTensor& tensor(std::string_view name) {
    for (RawTensor& t : tensors) {
      if (t.name == name) return t;
    }
    throw std::runtime_error("no tensor " + std::string(name));
  }
  void erase(std::string_view name) {
    std::erase_if(tensors, [name](const RawTensor& t) { return t.name == name; });
  }
  std::vector<float> values(std::string_view name) { return floats_of(tensor(name).data); }

  void write_texts(const std::filesystem::path& dir) const {
    std::filesystem::create_directories(dir);
    write_file(dir / "config.json", config.dump());
    write_file(dir / "tokenizer.json", tokenizer.dump());
    write_file(dir / "tokenizer_config.json", tokenizer_config.dump());
  }
  void write(const std::filesystem::path& dir) const {
    write_texts(dir);
    write_file(dir / "model.safetensors", safetensors_file(tensors));
  }
  /// The index of the tensors split in two, by position.
  json write_sharded(const std::filesystem::path& dir) const {
    write_texts(dir);
    const auto middle = tensors.begin() + static_cast<std::ptrdiff_t>(tensors.size() / 2);
    const std::vector<RawTensor> parts[] = {{tensors.begin(), middle}, {middle, tensors.end()}};
    json index;
    size_t bytes = 0;
    for (int i = 0; i < 2; ++i) {
      const std::string name = "model-0000" + std::to_string(i + 1) + "-of-00002.safetensors";
      write_file(dir / name, safetensors_file(parts[i]));
      for (const RawTensor& t : parts[i]) {
        index["weight_map"][t.name] = name;
        bytes += t.data.size();
      }
    }
    index["metadata"]["total_size"] = bytes;
    write_index(dir, index);
    return index;
  }
  static void write_index(const std::filesystem::path& dir, const json& index) {
    write_file(dir / "model.safetensors.index.json", index.dump());
  }

 private:
  void make_config() {
    config = json::parse(R"({"architectures": ["DeepseekV2ForCausalLM"], "hidden_act": "silu",
      "num_hidden_layers": 2, "first_k_dense_replace": 1, "moe_layer_freq": 1,
      "max_position_embeddings": 2560, "rms_norm_eps": 1e-6, "q_lora_rank": null,
      "num_experts_per_tok": 2, "n_shared_experts": 1, "routed_scaling_factor": 2.5,
      "topk_method": "greedy", "scoring_func": "softmax", "rope_theta": 10000,
      "rope_scaling": {"type": "yarn", "factor": 40, "original_max_position_embeddings": 64,
        "beta_fast": 32, "beta_slow": 1, "mscale": 0.707, "mscale_all_dim": 0.707}})");
    config["vocab_size"] = kVocab;
    config["hidden_size"] = kHidden;
    config["num_attention_heads"] = kHeads;
    config["qk_nope_head_dim"] = kNope;
    config["qk_rope_head_dim"] = kRope;
    config["v_head_dim"] = kV;
    config["kv_lora_rank"] = kLatent;
    config["intermediate_size"] = kDenseFf;
    config["n_routed_experts"] = kExperts;
    config["moe_intermediate_size"] = kExpertFf;
  }

  void make_tokenizer() {
    json vocab;
    for (int i = 0; i < 26; ++i) vocab[std::string(1, static_cast<char>('a' + i))] = i;
    vocab["th"] = 26;
    vocab["the"] = 27;
    const auto split = [](const char* pattern) {
      return json{{"type", "Split"},
                  {"pattern", {{"Regex", pattern}}},
                  {"behavior", "Isolated"},
                  {"invert", false}};
    };
    json steps = {split("\\p{N}{1,3}"), split("[一-龥\u3040-ゟ゠-ヿ]+"),
                  split("[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}"
                        "\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|"
                        "\\s+(?!\\S)|\\s+"),
                  json{{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}};
    tokenizer = {{"normalizer", nullptr},
                 {"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", steps}}},
                 {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", {"t h", "th e"}}}},
                 {"added_tokens",
                  {{{"id", 28}, {"content", "<bos>"}, {"special", true}},
                   {{"id", 29}, {"content", "<eos>"}, {"special", true}},
                   {{"id", 30}, {"content", "<｜User｜>"}, {"special", false}},
                   {{"id", 31}, {"content", "plain"}, {"special", false}}}}};
    tokenizer_config = {{"bos_token", "<bos>"},
                        {"eos_token", {{"__type", "AddedToken"}, {"content", "<eos>"}}},
                        {"add_bos_token", true},
                        {"chat_template", "{{ bos_token }}"}};
  }

  void add(const std::string& name, const std::vector<int64_t>& shape) {
    int64_t n = 1;
    for (const int64_t d : shape) n *= d;
    std::vector<float> values(static_cast<size_t>(n));
    // Eighths: exact in F16, BF16 and F32.
    for (float& v : values) v = static_cast<float>(static_cast<int>(random_() % 129) - 64) / 8;
    tensors.push_back({name + ".weight", "F32", shape, bytes_of(values)});
  }

  void add_mlp(const std::string& prefix, int64_t ff) {
    add(prefix + "gate_proj", {ff, kHidden});
    add(prefix + "up_proj", {ff, kHidden});
    add(prefix + "down_proj", {kHidden, ff});
  }

  void make_tensors() {
    add("model.embed_tokens", {kVocab, kHidden});
    for (int layer = 0; layer < 2; ++layer) {
      const std::string p = "model.layers." + std::to_string(layer) + ".";
      add(p + "input_layernorm", {kHidden});
      add(p + "self_attn.q_proj", {kHeads * (kNope + kRope), kHidden});
      add(p + "self_attn.kv_a_proj_with_mqa", {kLatent + kRope, kHidden});
      add(p + "self_attn.kv_a_layernorm", {kLatent});
      add(p + "self_attn.kv_b_proj", {kHeads * (kNope + kV), kLatent});
      add(p + "self_attn.o_proj", {kHidden, kHeads * kV});
      add(p + "post_attention_layernorm", {kHidden});
      if (layer == 0) {
        add_mlp(p + "mlp.", kDenseFf);
        continue;
      }
      add(p + "mlp.gate", {kExperts, kHidden});
      for (int e = 0; e < kExperts; ++e) {
        add_mlp(p + "mlp.experts." + std::to_string(e) + ".", kExpertFf);
      }
      add_mlp(p + "mlp.shared_experts.", kExpertFf);
    }
    add("model.norm", {kHidden});
    add("lm_head", {kVocab, kHidden});
  }

  std::mt19937 random_{20240507};
};

}  // namespace minke::test
