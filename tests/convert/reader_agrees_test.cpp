// Every configuration that convert accepts is one that the reader of its files accepts.
#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "convert/metadata.h"
#include "models/deepseek2/config.h"
#include "tests/convert/checkpoint_builder.h"
#include "tests/support.h"

using namespace minke;
using namespace minke::convert;
using minke::test::TinyModel;

namespace {

/// Converts the metadata alone, and reads it back. Gives whether convert accepts the configuration.
bool round_trip(const nlohmann::json& config) {
  const test::TempDir dir;
  test::write_file(dir / "config.json", config.dump());
  const auto accepted = read_hf_config(dir.path());
  if (!accepted) return false;
  const auto path = dir / "m.gguf";
  auto writer = GgufWriter::create(path);
  REQUIRE(writer);
  write_metadata(*accepted, {}, {}, *writer);
  REQUIRE(writer->begin_data());
  REQUIRE(writer->finish());
  const auto file = GgufFile::open(path);
  REQUIRE(file);
  const auto read = deepseek2::read_config(*file);
  CHECK_MESSAGE(read.has_value(), (read ? "" : read.error().message));
  return true;
}

/// 0, 1, 2, 3 and the neighbours of every power of two.
std::vector<int64_t> whole_numbers() {
  std::set<int64_t> numbers;
  for (int bit = 0; bit < 40; ++bit) {
    for (const int64_t beside : {-1, 0, 1}) numbers.insert((int64_t{1} << bit) + beside);
  }
  return {numbers.begin(), numbers.end()};
}

/// Powers of ten, which no F32 number but a few is, and their neighbours among the F64 numbers.
std::vector<double> fractions() {
  std::vector<double> numbers;
  for (int exponent = -20; exponent <= 20; ++exponent) {
    const double power = std::pow(10.0, exponent);
    for (const double n : {power, std::nextafter(power, 0), std::nextafter(power, 1e300)}) {
      numbers.push_back(n);
    }
  }
  for (const double n : {1.01, 1.5, 31.9999999999, 32.0, 32.0000000001}) numbers.push_back(n);
  return numbers;
}

}  // namespace

TEST_CASE("what convert accepts in config.json, the reader of its file accepts") {
  const nlohmann::json good = TinyModel().config;
  const char* counts[] = {"hidden_size",       "num_hidden_layers",     "num_attention_heads",
                          "vocab_size",        "q_lora_rank",           "kv_lora_rank",
                          "qk_nope_head_dim",  "qk_rope_head_dim",      "v_head_dim",
                          "intermediate_size", "n_routed_experts",      "num_experts_per_tok",
                          "n_shared_experts",  "moe_intermediate_size", "n_group",
                          "topk_group",        "first_k_dense_replace", "max_position_embeddings"};
  for (const char* key : counts) {
    CAPTURE(key);
    int n_accepted = 0;
    for (const int64_t value : whole_numbers()) {
      CAPTURE(value);
      nlohmann::json config = good;
      config["topk_method"] = "group_limited_greedy";
      config["n_group"] = 2;
      config["topk_group"] = 1;
      config[key] = value;
      n_accepted += round_trip(config);
    }
    CHECK(n_accepted >= 1);
  }
}

TEST_CASE("what convert accepts of fractions, the reader of its file accepts") {
  const nlohmann::json good = TinyModel().config;
  const std::pair<const char*, const char*> keys[] = {
      {"", "rms_norm_eps"},          {"", "rope_theta"},
      {"", "routed_scaling_factor"}, {"rope_scaling", "factor"},
      {"rope_scaling", "beta_fast"}, {"rope_scaling", "beta_slow"},
      {"rope_scaling", "mscale"}};
  for (const auto& [object, name] : keys) {
    const char* key = name;
    CAPTURE(key);
    int n_accepted = 0;
    for (const double value : fractions()) {
      CAPTURE(value);
      nlohmann::json config = good;
      nlohmann::json& fields = *object == '\0' ? config : config[object];
      fields[name] = value;
      if (key == std::string_view("mscale")) fields["mscale_all_dim"] = value;
      n_accepted += round_trip(config);
    }
    CHECK(n_accepted >= 1);
  }
}
