#include "convert/convert.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <functional>
#include <limits>

#include "runtime/gguf_reader.h"
#include "tests/convert/checkpoint_builder.h"
#include "tests/support.h"

using namespace minke;
using namespace minke::convert;
using minke::test::TinyModel;
namespace fs = std::filesystem;

namespace {

Status convert_to(const fs::path& from, const fs::path& to, const char* recipe, int n_threads = 2,
                  const ProgressCallback& progress = nullptr) {
  MINKE_ASSIGN(const Conversion conversion, Conversion::prepare(from, *find_recipe(recipe)));
  return conversion.run(to, n_threads, progress);
}

/// Writes the model, converts it and opens the result.
GgufFile converted(const TinyModel& model, const test::TempDir& dir, const char* recipe = "F32") {
  model.write(dir / "m");
  const Status status = convert_to(dir / "m", dir / "m.gguf", recipe);
  REQUIRE_MESSAGE(status.has_value(), (status ? "" : status.error().message));
  auto file = GgufFile::open(dir / "m.gguf");
  REQUIRE_MESSAGE(file.has_value(), (file ? "" : file.error().message));
  return std::move(*file);
}

std::vector<float> f32_values(const GgufFile& file, std::string_view name, const Shape& shape) {
  const GgufTensor* tensor = file.find_tensor(name);
  REQUIRE_MESSAGE(tensor != nullptr, name);
  REQUIRE(tensor->desc.dtype == DType::kF32);
  REQUIRE(tensor->desc.shape == shape);
  return test::floats_of({reinterpret_cast<const char*>(tensor->data.data()), tensor->data.size()});
}

size_t n_files(const fs::path& dir) {
  return static_cast<size_t>(std::distance(fs::directory_iterator(dir), {}));
}

/// Runs in a child process; gives its wait status.
int in_child(const std::function<int()>& body) {
  const pid_t pid = fork();
  REQUIRE(pid >= 0);
  if (pid == 0) _exit(body());
  int status = 0;
  REQUIRE(waitpid(pid, &status, 0) == pid);
  return status;
}

}  // namespace

TEST_CASE("every weight of an F32 checkpoint reaches its place unchanged") {
  const test::TempDir dir;
  TinyModel model;
  const GgufFile file = converted(model, dir);
  using M = TinyModel;
  CHECK(file.tensors().size() == 29);
  CHECK(f32_values(file, "token_embd.weight", {M::kVocab, M::kHidden}) ==
        model.values("model.embed_tokens.weight"));
  CHECK(f32_values(file, "output.weight", {M::kVocab, M::kHidden}) ==
        model.values("lm_head.weight"));
  CHECK(f32_values(file, "output_norm.weight", {M::kHidden}) == model.values("model.norm.weight"));
  CHECK(f32_values(file, "blk.1.ffn_norm.weight", {M::kHidden}) ==
        model.values("model.layers.1.post_attention_layernorm.weight"));
  // The rows of RoPE keep their order: pairs (2i, 2i+1) in the checkpoint and in the file.
  CHECK(f32_values(file, "blk.0.attn_q.weight", {M::kHeads * (M::kNope + M::kRope), M::kHidden}) ==
        model.values("model.layers.0.self_attn.q_proj.weight"));
  CHECK(f32_values(file, "blk.0.attn_kv_a_mqa.weight", {M::kLatent + M::kRope, M::kHidden}) ==
        model.values("model.layers.0.self_attn.kv_a_proj_with_mqa.weight"));
  CHECK(f32_values(file, "blk.0.ffn_down.weight", {M::kHidden, M::kDenseFf}) ==
        model.values("model.layers.0.mlp.down_proj.weight"));
  CHECK(f32_values(file, "blk.1.ffn_down_shexp.weight", {M::kHidden, M::kExpertFf}) ==
        model.values("model.layers.1.mlp.shared_experts.down_proj.weight"));
  CHECK(f32_values(file, "blk.1.ffn_gate_inp.weight", {M::kExperts, M::kHidden}) ==
        model.values("model.layers.1.mlp.gate.weight"));

  const auto down =
      f32_values(file, "blk.1.ffn_down_exps.weight", {M::kExperts, M::kHidden, M::kExpertFf});
  std::vector<float> stacked;
  for (int e = 0; e < M::kExperts; ++e) {
    const auto one =
        model.values("model.layers.1.mlp.experts." + std::to_string(e) + ".down_proj.weight");
    stacked.insert(stacked.end(), one.begin(), one.end());
  }
  CHECK(down == stacked);
}

TEST_CASE("kv_b_proj becomes transposed keys and values, head by head") {
  const test::TempDir dir;
  TinyModel model;
  const GgufFile file = converted(model, dir);
  using M = TinyModel;
  const auto source = model.values("model.layers.1.self_attn.kv_b_proj.weight");
  const auto keys = f32_values(file, "blk.1.attn_k_b.weight", {M::kHeads, M::kLatent, M::kNope});
  const auto values = f32_values(file, "blk.1.attn_v_b.weight", {M::kHeads, M::kV, M::kLatent});
  const auto at = [&](int64_t head, int64_t row, int64_t col) {
    return source[static_cast<size_t>((head * (M::kNope + M::kV) + row) * M::kLatent + col)];
  };
  size_t key = 0, value = 0;
  for (int64_t h = 0; h < M::kHeads; ++h) {
    for (int64_t l = 0; l < M::kLatent; ++l) {
      for (int64_t n = 0; n < M::kNope; ++n) REQUIRE(keys[key++] == at(h, n, l));
    }
    for (int64_t v = 0; v < M::kV; ++v) {
      for (int64_t l = 0; l < M::kLatent; ++l) REQUIRE(values[value++] == at(h, M::kNope + v, l));
    }
  }
  CHECK(key == keys.size());
  CHECK(value == values.size());
}

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
      {"deepseek2.feed_forward_length", 96},
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
  CHECK(n_keys == file.entries().size());
}

TEST_CASE("BF16 and FP8 weights are decoded, FP8 with the scales of its blocks") {
  const test::TempDir dir;
  TinyModel model;
  const auto norm = model.values("model.norm.weight");
  test::RawTensor& bf16 = model.tensor("model.norm.weight");
  bf16.dtype = "BF16";
  bf16.data = test::bf16_bytes(norm);
  // 5000x64 codes, scales for blocks of 100x48: edges cut short, and pieces of the conversion that
  // begin inside a block.
  constexpr int64_t kRows = TinyModel::kVocab, kCols = TinyModel::kHidden, kBlocks = 50;
  model.config["quantization_config"] = {{"quant_method", "fp8"}, {"weight_block_size", {100, 48}}};
  test::RawTensor& fp8 = model.tensor("model.embed_tokens.weight");
  fp8.dtype = "F8_E4M3";
  fp8.data.resize(static_cast<size_t>(kRows * kCols));
  std::vector<float> expected(fp8.data.size());
  std::vector<float> scales(static_cast<size_t>(kBlocks * 2));
  for (size_t i = 0; i < scales.size(); ++i) scales[i] = 0.5f + static_cast<float>(i);
  for (int64_t i = 0; i < kRows * kCols; ++i) {
    const auto at = static_cast<size_t>(i);
    const int64_t row = i / kCols, col = i % kCols;
    const int code = static_cast<int>(row % 8);  // 0x38..0x3f: 1 + code / 8
    fp8.data[at] = static_cast<char>(0x38 + code);
    const float scale = scales[static_cast<size_t>(row / 100 * 2 + col / 48)];
    expected[at] = (1.0f + static_cast<float>(code) / 8) * scale;
  }
  model.tensors.push_back(
      {"model.embed_tokens.weight_scale_inv", "F32", {kBlocks, 2}, test::bytes_of(scales)});
  const GgufFile file = converted(model, dir);
  CHECK(f32_values(file, "output_norm.weight", {kCols}) == norm);
  CHECK(f32_values(file, "token_embd.weight", {kRows, kCols}) == expected);
}

TEST_CASE("FP8 weights may have one scale in all or one a row") {
  const test::TempDir dir;
  TinyModel model;
  const auto make_fp8 = [&](const char* name, const char* dtype, char one) {
    test::RawTensor& t = model.tensor(name);
    t.dtype = dtype;
    t.data.assign(t.data.size() / 4, one);
  };
  make_fp8("model.layers.0.self_attn.o_proj.weight", "F8_E4M3", 0x38);
  model.tensors.push_back(
      {"model.layers.0.self_attn.o_proj.weight_scale", "F32", {}, test::bytes_of({0.25f})});
  make_fp8("model.layers.1.self_attn.o_proj.weight", "F8_E5M2", 0x3c);
  std::vector<float> rows(TinyModel::kHidden);
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<float>(i) + 1;
  model.tensors.push_back({"model.layers.1.self_attn.o_proj.weight_scale",
                           "BF16",
                           {TinyModel::kHidden, 1},
                           test::bf16_bytes(rows)});
  const GgufFile file = converted(model, dir);
  const int64_t cols = TinyModel::kHeads * TinyModel::kV;
  const auto a = f32_values(file, "blk.0.attn_output.weight", {TinyModel::kHidden, cols});
  const auto b = f32_values(file, "blk.1.attn_output.weight", {TinyModel::kHidden, cols});
  for (size_t i = 0; i < a.size(); ++i) {
    REQUIRE(a[i] == 0.25f);
    REQUIRE(b[i] == rows[i / static_cast<size_t>(cols)]);
  }
}

TEST_CASE("the file is the same whatever the number of threads and however it is sharded") {
  const test::TempDir dir;
  const TinyModel model;
  model.write(dir / "m");
  model.write_sharded(dir / "sharded/m");
  for (const char* recipe : {"F32", "BF16", "Q8_0", "Q4_K_M"}) {
    CAPTURE(recipe);
    REQUIRE(convert_to(dir / "m", dir / "1.gguf", recipe, 1));
    const std::string expected = test::read_file(dir / "1.gguf");
    for (const int n_threads : {2, 7}) {
      REQUIRE(convert_to(dir / "m", dir / "n.gguf", recipe, n_threads));
      CHECK(test::read_file(dir / "n.gguf") == expected);
    }
    REQUIRE(convert_to(dir / "sharded/m", dir / "n.gguf", recipe, 2));
    CHECK(test::read_file(dir / "n.gguf") == expected);
  }
}

TEST_CASE("layers of multi-token prediction and tied output heads are left out or repeated") {
  const test::TempDir dir;
  TinyModel model;
  model.config["tie_word_embeddings"] = true;
  model.erase("lm_head.weight");
  model.tensors.push_back({"model.layers.2.eh_proj.weight", "F32", {1}, test::bytes_of({1})});
  model.tensors.push_back(
      {"model.layers.0.self_attn.rotary_emb.inv_freq", "F32", {1}, test::bytes_of({1})});
  const GgufFile file = converted(model, dir);
  CHECK(file.find_tensor("blk.2.eh_proj.weight") == nullptr);
  CHECK(f32_values(file, "output.weight", {TinyModel::kVocab, TinyModel::kHidden}) ==
        model.values("model.embed_tokens.weight"));
}

TEST_CASE("tensors that do not fit config.json are refused by name") {
  struct Case {
    const char* what;
    const char* reason;
    std::function<void(TinyModel&)> breaks;
  };
  const char* o_proj = "model.layers.1.self_attn.o_proj.weight";
  const Case cases[] = {
      {"missing", "is missing", [&](TinyModel& m) { m.erase(o_proj); }},
      {"transposed", "shape 32x64",
       [&](TinyModel& m) {
         m.tensor(o_proj).shape = {32, 64};
       }},
      {"of integers", "cannot convert I32", [&](TinyModel& m) { m.tensor(o_proj).dtype = "I32"; }},
      {"FP8 without scales", "without its scales",
       [&](TinyModel& m) {
         m.tensor(o_proj).dtype = "F8_E4M3";
         m.tensor(o_proj).data.resize(32 * 64);
       }},
      {"scales of another shape", "do not fit",
       [&](TinyModel& m) {
         m.tensor(o_proj).dtype = "F8_E4M3";
         m.tensor(o_proj).data.resize(32 * 64);
         m.tensors.push_back(
             {std::string(o_proj) + "_scale_inv", "F32", {3, 1}, test::bytes_of({1, 1, 1})});
       }},
      {"scales without FP8", "not FP8",
       [&](TinyModel& m) {
         m.tensors.push_back(
             {std::string(o_proj) + "_scale_inv", "F32", {1, 1}, test::bytes_of({1})});
       }},
      {"unknown", "no DeepSeek-V2 model",
       [](TinyModel& m) {
         m.tensors.push_back(
             {"model.layers.1.self_attn.o_proj.bias", "F32", {1}, test::bytes_of({1})});
       }},
      {"more experts than config.json says", "no DeepSeek-V2 model",
       [](TinyModel& m) {
         m.tensors.push_back(
             {"model.layers.1.mlp.experts.4.up_proj.weight", "F32", {1}, test::bytes_of({1})});
       }},
      {"other heads", "config.json asks for",
       [](TinyModel& m) { m.config["num_attention_heads"] = 4; }},
  };
  for (const Case& c : cases) {
    CAPTURE(c.what);
    const test::TempDir dir;
    TinyModel model;
    c.breaks(model);
    model.write(dir / "m");
    const auto conversion = Conversion::prepare(dir / "m", *find_recipe("F32"));
    REQUIRE_FALSE(conversion);
    CAPTURE(conversion.error().message);
    CHECK(conversion.error().code == Errc::kContent);
    CHECK(conversion.error().message.find("tensor 'model.layers.") != std::string::npos);
    CHECK(conversion.error().message.find(c.reason) != std::string::npos);
  }
}

TEST_CASE("a NaN or an infinity is refused with tensor and index, and nothing is left") {
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
    for (const char* dtype : {"F32", "BF16"}) {
      CAPTURE(dtype);
      const test::TempDir dir;
      TinyModel model;
      test::RawTensor& t = model.tensor("lm_head.weight");
      auto values = test::floats_of(t.data);
      values[4999 * 64 + 7] = bad;
      values[4999 * 64 + 9] = bad;
      t.dtype = dtype;
      t.data = t.dtype == "F32" ? test::bytes_of(values) : test::bf16_bytes(values);
      model.write(dir / "m");
      const Status status = convert_to(dir / "m", dir / "m.gguf", "Q8_0");
      REQUIRE_FALSE(status);
      CHECK(status.error().code == Errc::kContent);
      CHECK(status.error().message.find("tensor 'lm_head.weight'") != std::string::npos);
      CHECK(status.error().message.find("index 319943 (row 4999, column 7)") != std::string::npos);
      CHECK(n_files(dir.path()) == 1);
    }
  }
}

TEST_CASE("progress counts the checkpoint's bytes, and false stops without a trace") {
  const test::TempDir dir;
  TinyModel().write(dir / "m");
  uint64_t last = 0, total = 0;
  REQUIRE(convert_to(dir / "m", dir / "m.gguf", "Q8_0", 2, [&](const Progress& p) {
    CHECK(p.bytes_done >= last);
    CHECK_FALSE(p.tensor.empty());
    last = p.bytes_done;
    total = p.bytes_total;
    return true;
  }));
  CHECK(last == total);
  CHECK(total == Checkpoint::open(dir / "m")->tensor_bytes());
  fs::remove(dir / "m.gguf");
  const Status status = convert_to(dir / "m", dir / "m.gguf", "F32", 2, [](const Progress& p) {
    return p.bytes_done < p.bytes_total / 2;
  });
  CHECK(status.error().code == Errc::kCancelled);
  CHECK(n_files(dir.path()) == 1);
}

TEST_CASE("a shard that changes while it is read stops the conversion") {
  const test::TempDir dir;
  const auto path = dir / "m/model.safetensors";
  const auto size_change = [&](int64_t by) {
    TinyModel().write(dir / "m");
    bool done = false;
    const Status status = convert_to(dir / "m", dir / "m.gguf", "F32", 2, [&](const Progress&) {
      if (!done)
        fs::resize_file(path,
                        static_cast<uintmax_t>(static_cast<int64_t>(fs::file_size(path)) + by));
      done = true;
      return true;
    });
    REQUIRE_FALSE(status);
    CHECK(status.error().code == Errc::kIo);
    CHECK(status.error().message.find("model.safetensors") != std::string::npos);
    CHECK(n_files(dir.path()) == 1);
  };
  size_change(-100'000);
  size_change(+1);
}

TEST_CASE("a killed conversion leaves the partial file only, and the next one replaces it") {
  const test::TempDir dir;
  TinyModel().write(dir / "m");
  const int status = in_child([&] {
    const Status ran = convert_to(dir / "m", dir / "m.gguf", "F32", 2, [](const Progress& p) {
      if (p.bytes_done > p.bytes_total / 2) raise(SIGKILL);
      return true;
    });
    return ran ? 0 : 1;
  });
  CHECK(WIFSIGNALED(status));
  CHECK(fs::exists(dir / "m.gguf.partial"));
  CHECK_FALSE(fs::exists(dir / "m.gguf"));
  REQUIRE(convert_to(dir / "m", dir / "m.gguf", "F32"));
  CHECK(n_files(dir.path()) == 2);
}

TEST_CASE("output that cannot be written is an I/O error, and nothing is left") {
  const test::TempDir dir;
  TinyModel().write(dir / "m");
  CHECK_FALSE(convert_to(dir / "m", dir / "none/m.gguf", "F32"));
  CHECK_FALSE(convert_to(dir / "m", dir / "m/config.json/m.gguf", "F32"));
  // A limit on the file's size stands for a disk that fills up on the way.
  const int status = in_child([&] {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{1 << 20, 1 << 20};
    setrlimit(RLIMIT_FSIZE, &limit);
    const Status ran = convert_to(dir / "m", dir / "m.gguf", "F32");
    return !ran && ran.error().code == Errc::kIo ? 42 : 1;
  });
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 42);
  CHECK(n_files(dir.path()) == 1);
}
