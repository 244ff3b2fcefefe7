#include "convert/convert.h"

#include "tests/convert/convert_support.h"

using namespace minke;
using namespace minke::convert;
using minke::test::convert_to;
using minke::test::converted;
using minke::test::TinyModel;

namespace {

std::vector<float> f32_values(const GgufFile& file, std::string_view name, const Shape& shape) {
  const GgufTensor* tensor = file.find_tensor(name);
  REQUIRE_MESSAGE(tensor != nullptr, name);
  REQUIRE(tensor->desc.dtype == DType::kF32);
  REQUIRE(tensor->desc.shape == shape);
  return test::floats_of({reinterpret_cast<const char*>(tensor->data.data()), tensor->data.size()});
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

TEST_CASE("the file is the same whatever the number of threads, the data however it is sharded") {
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
    const auto one = GgufFile::open(dir / "1.gguf"), sharded = GgufFile::open(dir / "n.gguf");
    REQUIRE(one);
    REQUIRE(sharded);
    CHECK(one->get_strings("minke.source_sha256")->size() == 1);
    CHECK(sharded->get_strings("minke.source_sha256")->size() == 2);
    for (const GgufTensor& tensor : one->tensors())
      CHECK(std::ranges::equal(tensor.data, sharded->find_tensor(tensor.name)->data));
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
  model.tensors.push_back({"model.layers.2.enorm.weight", "F32", {1}, test::bytes_of({1})});
  const GgufFile file = converted(model, dir);
  CHECK(file.find_tensor("blk.2.eh_proj.weight") == nullptr);
  CHECK(f32_values(file, "output.weight", {TinyModel::kVocab, TinyModel::kHidden}) ==
        model.values("model.embed_tokens.weight"));
}
