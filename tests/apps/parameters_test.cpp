#include "apps/parameters.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "tests/apps/app_model.h"

using namespace minke;
using namespace minke::apps;

namespace {

std::string refusal(std::string_view name, std::string_view text) {
  Parameters parameters;
  const std::string before = parameters.describe();
  const Status set = parameters.set(name, text);
  REQUIRE(!set.has_value());
  CHECK(set.error().code == Errc::kUsage);
  CHECK(parameters.describe() == before);
  return set.error().message;
}

}  // namespace

TEST_CASE("parameters: values are set by any of their names") {
  Parameters p;
  REQUIRE(p.set("temperature", "0.5"));
  REQUIRE(p.set("top-k", "7"));
  REQUIRE(p.set("num_predict", "12"));
  REQUIRE(p.set("mirostat_tau", "+3"));
  REQUIRE(p.set("seed", "99"));
  REQUIRE(p.set("timings", "1"));
  REQUIRE(p.set("samplers", "top_k;temperature"));
  REQUIRE(p.set("logit_bias", "5-1.5"));
  REQUIRE(p.set("logit_bias", "6+2"));
  CHECK(p.values().sampling.temperature == 0.5f);
  CHECK(p.values().sampling.top_k == 7);
  CHECK(p.values().n_predict == 12);
  CHECK(p.values().sampling.mirostat_tau == 3.0f);
  CHECK(p.values().timings);
  CHECK(p.values().sampling.order == std::vector<std::string>{"top_k", "temperature"});
  REQUIRE(p.values().sampling.logit_bias.size() == 2);
  CHECK(p.values().sampling.logit_bias[0] == std::pair<int32_t, float>{5, -1.5f});
  const auto sampling = p.sampling(test::tiny_model().tokenizer());
  REQUIRE(sampling.has_value());
  CHECK(sampling->seed == 99);
}

TEST_CASE("parameters: wrong values are refused and change nothing") {
  CHECK(refusal("nonsense", "1").find("nonsense") != std::string::npos);
  CHECK(refusal("temp", "warm").find("warm") != std::string::npos);
  CHECK(refusal("temp", "nan").find("nan") != std::string::npos);
  CHECK(refusal("temp", "").find("temp") != std::string::npos);
  CHECK(refusal("top_k", "1.5").find("whole") != std::string::npos);
  CHECK(refusal("top_k", "99999999999").find("whole") != std::string::npos);
  CHECK(refusal("top_p", "2").find("top_p") != std::string::npos);
  CHECK(refusal("seed", "-2").find("-1") != std::string::npos);
  CHECK(refusal("n_predict", "-7").find("-1") != std::string::npos);
  CHECK(refusal("samplers", "top_k;nothing").find("nothing") != std::string::npos);
  CHECK(refusal("logit_bias", "15").find("15") != std::string::npos);
  CHECK(refusal("ignore_eos", "perhaps").find("perhaps") != std::string::npos);
}

TEST_CASE("parameters: what prints can be set again") {
  Parameters p;
  REQUIRE(p.set("temp", "0.7"));
  REQUIRE(p.set("samplers", "top_k;min_p"));
  REQUIRE(p.set("ignore_eos", "on"));
  Parameters q;
  for (const ParameterInfo& info : parameter_table()) {
    if (info.repeats) continue;
    INFO(info.name);
    CHECK(q.set(info.name, info.print(p.values())));
    CHECK(info.print(q.values()) == info.print(p.values()));
  }
}

TEST_CASE("parameters: the origin of a value is told") {
  Parameters p;
  const auto defaults = sampling_defaults(test::tiny_model().file());
  REQUIRE(defaults.has_value());
  p.use_defaults(*defaults);
  CHECK(p.origin("top_k") != "you");
  REQUIRE(p.set("temperature", "0.25"));
  CHECK(p.origin("temp") == "you");
  CHECK(p.summary().starts_with("temp 0.25 (you), top_k "));
  CHECK(p.describe().find("temp                  0.25                   you") != std::string::npos);
}

TEST_CASE("parameters: DRY's breakers become the tokens that hold them") {
  Parameters p;
  REQUIRE(p.set("dry_multiplier", "0.8"));
  REQUIRE(p.set("dry_sequence_breaker", "\\n"));
  const Tokenizer& tokenizer = test::tiny_model().tokenizer();
  const auto sampling = p.sampling(tokenizer);
  REQUIRE(sampling.has_value());
  REQUIRE(!sampling->dry_breakers.empty());
  for (const TokenId id : sampling->dry_breakers)
    CHECK(tokenizer.token_bytes(id).find('\n') != std::string_view::npos);
  REQUIRE(p.set("dry_sequence_breaker", "a text that no token holds"));
  CHECK(!p.sampling(tokenizer).has_value());
}

TEST_CASE("parameters: a bias for a token that does not exist") {
  Parameters p;
  REQUIRE(p.set("logit_bias", "320+1"));
  CHECK(!p.sampling(test::tiny_model().tokenizer()).has_value());
}

TEST_CASE("parameters: a seed of -1 differs between runs, and stays in one") {
  const Tokenizer& tokenizer = test::tiny_model().tokenizer();
  Parameters p, q;
  CHECK(p.sampling(tokenizer)->seed == p.sampling(tokenizer)->seed);
  CHECK(p.sampling(tokenizer)->seed != q.sampling(tokenizer)->seed);
}
