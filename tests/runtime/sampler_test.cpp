#include "runtime/sampler.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdio>
#include <ctime>
#include <limits>
#include <map>
#include <random>
#include <set>

using namespace minke;

namespace {

/// Everything off: sampling from the plain softmax.
SamplingParams plain(uint64_t seed = 1) {
  SamplingParams p;
  p.temperature = 1.0f;
  p.top_k = 0;
  p.top_p = 1.0f;
  p.min_p = 0.0f;
  p.seed = seed;
  return p;
}

Sampler make(const SamplingParams& params, int vocab_size) {
  auto sampler = Sampler::create(params, vocab_size);
  REQUIRE_MESSAGE(sampler.has_value(), (sampler ? "" : sampler.error().message));
  return std::move(*sampler);
}

std::vector<float> from_probabilities(const std::vector<double>& probabilities) {
  std::vector<float> logits;
  for (const double p : probabilities) logits.push_back(static_cast<float>(std::log(p)));
  return logits;
}

/// How often each token comes in n draws.
std::map<int32_t, int> histogram(Sampler& sampler, const std::vector<float>& logits, int n) {
  std::map<int32_t, int> counts;
  for (int i = 0; i < n; ++i) {
    const auto token = sampler.sample(logits);
    REQUIRE(token.has_value());
    ++counts[*token];
  }
  return counts;
}

std::set<int32_t> drawn(const SamplingParams& params, const std::vector<float>& logits) {
  Sampler sampler = make(params, static_cast<int>(logits.size()));
  std::set<int32_t> seen;
  for (const auto& [token, count] : histogram(sampler, logits, 2000)) seen.insert(token);
  return seen;
}

using Ids = std::set<int32_t>;

}  // namespace

TEST_CASE("plain sampling follows the softmax") {
  const std::vector<double> expected{0.5, 0.25, 0.15, 0.1};
  Sampler sampler = make(plain(), 4);
  const int n = 40000;
  auto counts = histogram(sampler, from_probabilities(expected), n);
  for (size_t i = 0; i < expected.size(); ++i) {
    const double sd = std::sqrt(n * expected[i] * (1 - expected[i]));
    CHECK(std::abs(counts[static_cast<int32_t>(i)] - n * expected[i]) < 4 * sd);
  }
}

TEST_CASE("temperature sharpens: p ~ p^(1/T)") {
  SamplingParams p = plain();
  p.temperature = 0.5f;  // 0.6, 0.4 -> 0.36 : 0.16
  Sampler sampler = make(p, 2);
  const int n = 40000;
  auto counts = histogram(sampler, from_probabilities({0.6, 0.4}), n);
  const double expected = 0.36 / 0.52;
  CHECK(std::abs(counts[0] - n * expected) < 4 * std::sqrt(n * expected * (1 - expected)));
  p.temperature = 1e-30f;
  CHECK(drawn(p, {1.0f, 3.0f, 2.0f}) == Ids{1});
}

TEST_CASE("the same seed gives the same tokens, another seed others") {
  const std::vector<float> logits(50, 0.0f);
  const auto run = [&](uint64_t seed) {
    Sampler sampler = make(plain(seed), 50);
    std::vector<int32_t> tokens;
    for (int i = 0; i < 30; ++i) tokens.push_back(sampler.sample(logits).value());
    return tokens;
  };
  CHECK(run(7) == run(7));
  CHECK(run(7) != run(8));
  // Fixed by the C++ standard's mt19937_64 (10000th value 9981545732273789042 from its default
  // seed) and our own conversion: the same on every platform.
  Sampler standard = make(plain(5489), 50);
  int32_t last = -1;
  for (int i = 0; i < 10000; ++i) last = standard.sample(logits).value();
  CHECK(last == static_cast<int32_t>(9981545732273789042.0 / 18446744073709551616.0 * 50));
}

TEST_CASE("greedy takes the highest, and the lowest id of equals") {
  SamplingParams p = plain();
  p.temperature = 0;
  CHECK(make(p, 4).sample(std::vector<float>{1, 5, 5, 2}).value() == 1);
  p.temperature = -1;
  CHECK(make(p, 4).sample(std::vector<float>{1, 2, 3, 9}).value() == 3);
  p.logit_bias = {{0, 100.0f}};
  CHECK(make(p, 4).sample(std::vector<float>{1, 2, 3, 9}).value() == 0);
}

TEST_CASE("top-k keeps the k best") {
  SamplingParams p = plain();
  p.top_k = 2;
  CHECK(drawn(p, {0.1f, 0.3f, 0.2f, 0.0f}) == Ids{1, 2});
  p.top_k = 1;
  CHECK(drawn(p, {0.1f, 0.3f, 0.3f, 0.0f}) == Ids{1});
  p.top_k = 100;
  CHECK(drawn(p, {0.1f, 0.3f, 0.2f, 0.0f}) == Ids{0, 1, 2, 3});
}

TEST_CASE("top-p keeps the fewest that reach p") {
  SamplingParams p = plain();
  const auto logits = from_probabilities({0.1, 0.5, 0.3, 0.1});
  p.top_p = 0.45f;
  CHECK(drawn(p, logits) == Ids{1});
  p.top_p = 0.75f;
  CHECK(drawn(p, logits) == Ids{1, 2});
  p.top_p = 0.85f;  // ids 0 and 3 are equal: the lower id stands first
  CHECK(drawn(p, logits) == Ids{0, 1, 2});
  p.top_p = 0.0f;
  CHECK(drawn(p, logits) == Ids{1});
}

TEST_CASE("top-p reaches past the first sorted stretch") {
  SamplingParams p = plain();
  p.top_p = 0.5f;
  const std::vector<float> logits(1000, 1.0f);
  Sampler sampler = make(p, 1000);
  const auto counts = histogram(sampler, logits, 20000);
  CHECK(counts.rbegin()->first == 499);
  CHECK(counts.size() == 500);
}

TEST_CASE("min-p measures against the likeliest") {
  SamplingParams p = plain();
  p.min_p = 0.25f;  // 0.5 * 0.25 = 0.125
  CHECK(drawn(p, from_probabilities({0.12, 0.5, 0.13, 0.25})) == Ids{1, 2, 3});
}

TEST_CASE("typical keeps what is nearest to the entropy") {
  // H = -(0.4 ln 0.4 + 3 * 0.2 ln 0.2) = 1.332; surprises 0.916 and 1.609: distances 0.416, 0.277.
  SamplingParams p = plain();
  p.typical_p = 0.5f;
  CHECK(drawn(p, from_probabilities({0.4, 0.2, 0.2, 0.2})) == Ids{1, 2, 3});
  p.typical_p = 0.3f;
  CHECK(drawn(p, from_probabilities({0.4, 0.2, 0.2, 0.2})) == Ids{1, 2});
}

TEST_CASE("top-n-sigma cuts at deviations from the maximum") {
  // mean 1, deviation 2: with n = 1 the limit is 4 - 2 = 2; with 1.6 it is 0.8.
  SamplingParams p = plain();
  const std::vector<float> logits{4, 3, -1, 0, -1};
  p.top_n_sigma = 1.0f;
  CHECK(drawn(p, logits) == Ids{0, 1});
  p.top_n_sigma = 2.1f;
  p.temperature = 10.0f;
  CHECK(drawn(p, logits) == Ids{0, 1, 3});
}

TEST_CASE("XTC drops all top choices but the last") {
  SamplingParams p = plain();
  const auto logits = from_probabilities({0.4, 0.3, 0.2, 0.1});
  p.xtc_probability = 1.0f;
  p.xtc_threshold = 0.15f;
  CHECK(drawn(p, logits) == Ids{2, 3});
  p.xtc_threshold = 0.35f;  // a single top choice stays
  CHECK(drawn(p, logits) == Ids{0, 1, 2, 3});
  p.xtc_threshold = 0.15f;
  p.xtc_probability = 0.5f;  // then id 0 comes in half of the draws with 0.4
  Sampler sampler = make(p, 4);
  const int n = 20000;
  CHECK(std::abs(histogram(sampler, logits, n)[0] - n * 0.2) < 4 * std::sqrt(n * 0.2 * 0.8));
}

TEST_CASE("penalties change what was seen, inside the window only") {
  SamplingParams p = plain();
  p.temperature = 0;
  p.repeat_penalty = 2.0f;
  const auto after = [&](std::vector<int32_t> seen, std::vector<float> logits) {
    Sampler sampler = make(p, static_cast<int>(logits.size()));
    for (const int32_t token : seen) sampler.accept(token);
    return sampler.sample(logits).value();
  };
  CHECK(after({0}, {3.0f, 2.0f, 1.4f}) == 1);           // 3 / 2 < 2
  CHECK(after({0, 1}, {3.0f, 2.0f, 1.4f}) == 0);        // 1.5, 1.0, 1.4
  CHECK(after({0, 0, 0, 0}, {3.1f, 1.5f, 1.4f}) == 0);  // once, however often it came
  CHECK(after({0}, {-1.0f, -1.9f, -1.95f}) == 1);       // -1 * 2
  p.repeat_last_n = 2;
  CHECK(after({0, 1, 1}, {3.0f, 2.0f, 1.4f}) == 0);
  CHECK(after({1, 0, 1}, {3.0f, 2.0f, 1.6f}) == 2);
  p.repeat_last_n = 0;
  CHECK(after({0, 1}, {3.0f, 2.0f, 1.4f}) == 0);
  p.repeat_last_n = -1;
  p.repeat_penalty = 1.0f;
  p.frequency_penalty = 0.5f;
  CHECK(after({0, 0}, {3.0f, 2.1f, 1.9f}) == 1);  // 3 - 1
  CHECK(after({0}, {3.0f, 2.1f, 1.9f}) == 0);     // 3 - 0.5
  p.frequency_penalty = 0;
  p.presence_penalty = 0.5f;
  CHECK(after({0, 0}, {3.0f, 2.1f, 1.9f}) == 0);  // 3 - 0.5, however often
}

TEST_CASE("DRY lowers what would prolong a repetition") {
  SamplingParams p = plain();
  p.temperature = 0;
  p.dry_multiplier = 1.0f;
  p.dry_base = 2.0f;
  p.dry_allowed_length = 2;
  const auto after = [&](std::vector<int32_t> seen, float rival) {
    Sampler sampler = make(p, 10);
    for (const int32_t token : seen) sampler.accept(token);
    std::vector<float> logits(10, -100.0f);
    logits[3] = 5.0f;
    logits[9] = rival;
    return sampler.sample(logits).value();
  };
  // "1 2 3 ... 1 2": the 2 newest repeat, 3 would make it 3: penalty 2^0 = 1.
  CHECK(after({1, 2, 3, 4, 1, 2}, 3.9f) == 3);
  CHECK(after({1, 2, 3, 4, 1, 2}, 4.1f) == 9);
  // three repeat: 2^1
  CHECK(after({0, 1, 2, 3, 4, 0, 1, 2}, 2.9f) == 3);
  CHECK(after({0, 1, 2, 3, 4, 0, 1, 2}, 3.1f) == 9);
  // one repeats: nothing
  CHECK(after({7, 2, 3, 4, 1, 2}, 4.9f) == 3);
  // the longest of several counts
  CHECK(after({5, 1, 2, 3, 0, 1, 2, 3, 4, 0, 1, 2}, 3.1f) == 9);
  // a breaker inside the repetition leaves one token: nothing
  p.dry_breakers = {1};
  CHECK(after({0, 1, 2, 3, 4, 0, 1, 2}, 4.9f) == 3);
  p.dry_breakers = {};
  p.dry_penalty_last_n = 4;
  CHECK(after({1, 2, 3, 4, 1, 2}, 4.9f) == 3);
  p.dry_penalty_last_n = 0;
  CHECK(after({1, 2, 3, 4, 1, 2}, 4.9f) == 3);
}

TEST_CASE("DRY's penalty stays finite on endless repetition") {
  SamplingParams p = plain();
  p.temperature = 0;
  p.dry_multiplier = 1.0f;
  Sampler sampler = make(p, 3);
  for (int i = 0; i < 5000; ++i) sampler.accept(1);
  CHECK(sampler.sample(std::vector<float>{0, 100, -5}).value() == 0);
}

TEST_CASE("logit bias moves and bans") {
  SamplingParams p = plain();
  p.logit_bias = {{1, -std::numeric_limits<float>::infinity()}};
  CHECK(drawn(p, {1, 5, 1}) == Ids{0, 2});
  p.logit_bias = {{0, 50.0f}};
  CHECK(drawn(p, {1, 5, 1}) == Ids{0});
}

TEST_CASE("mirostat holds the surprise near its target") {
  // Zipf-like logits over 5000 tokens, whose own entropy is far above 3 bits.
  std::vector<float> logits;
  for (int i = 0; i < 5000; ++i) logits.push_back(-1.1f * std::log(static_cast<float>(i + 1)));
  double total = 0;
  for (const float x : logits) total += std::exp(static_cast<double>(x));
  for (const int version : {1, 2}) {
    CAPTURE(version);
    SamplingParams p = plain(3);
    p.mirostat = version;
    p.mirostat_tau = 3.0f;
    Sampler sampler = make(p, 5000);
    double surprise = 0;
    int32_t highest = 0;
    const int n = 3000;
    for (int i = 0; i < n; ++i) {
      const int32_t token = sampler.sample(logits).value();
      highest = std::max(highest, token);
      surprise +=
          -std::log2(std::exp(static_cast<double>(logits[static_cast<size_t>(token)])) / total);
    }
    CHECK(highest < 2000);  // plain sampling goes far beyond
    CHECK(surprise / n > 2.0);
    CHECK(surprise / n < 5.5);
  }
}

TEST_CASE("mirostat survives degenerate logits") {
  for (const int version : {1, 2}) {
    SamplingParams p = plain();
    p.mirostat = version;
    CHECK(make(p, 1).sample(std::vector<float>{0}).value() == 0);
    Sampler equal = make(p, 5);
    for (int i = 0; i < 100; ++i) CHECK(equal.sample(std::vector<float>(5, 2.0f)).has_value());
    Sampler certain = make(p, 3);
    for (int i = 0; i < 100; ++i) {
      CHECK(certain.sample(std::vector<float>{0, 1e30f, 0}).value() == 1);
    }
  }
}

TEST_CASE("the order is the user's") {
  SamplingParams p = plain();
  const auto logits = from_probabilities({0.4, 0.3, 0.2, 0.1});
  p.top_k = 1;
  p.order = {"temperature"};  // what is not named does not run
  CHECK(drawn(p, logits) == Ids{0, 1, 2, 3});
  p.order = {"min_p", "temperature"};
  p.min_p = 0.6f;
  CHECK(drawn(p, logits) == Ids{0, 1});
  // A hot temperature before min-p lets everything pass, after it nothing more.
  p.temperature = 100.0f;
  CHECK(drawn(p, logits) == Ids{0, 1});
  p.order = {"temperature", "min_p"};
  CHECK(drawn(p, logits) == Ids{0, 1, 2, 3});
  // Penalties after the cut cannot bring the third token in.
  p = plain();
  p.top_k = 2;
  p.presence_penalty = 1000.0f;
  p.order = {"top_k", "penalties"};
  Sampler late = make(p, 4);
  late.accept(0);
  CHECK(histogram(late, logits, 100) == std::map<int32_t, int>{{1, 100}});
  p.order = {"penalties", "top_k"};
  Sampler early = make(p, 4);
  early.accept(0);
  CHECK(histogram(early, logits, 1000).size() == 2);
}

TEST_CASE("bad parameters are told by name") {
  const auto message = [](auto change) {
    SamplingParams p;
    change(p);
    const auto sampler = Sampler::create(p, 10);
    REQUIRE(!sampler.has_value());
    CHECK(sampler.error().code == Errc::kUsage);
    return sampler.error().message;
  };
  using P = SamplingParams;
  CHECK(message([](P& p) { p.top_p = 1.5f; }) == "top_p must be from 0 to 1 (got 1.5)");
  CHECK(message([](P& p) { p.temperature = NAN; }).starts_with("temperature must be"));
  CHECK(message([](P& p) { p.min_p = -0.1f; }).starts_with("min_p must be"));
  CHECK(message([](P& p) { p.repeat_penalty = 0; }).starts_with("repeat_penalty must be"));
  CHECK(message([](P& p) { p.repeat_last_n = -2; }).starts_with("repeat_last_n must be"));
  CHECK(message([](P& p) { p.mirostat = 3; }) == "mirostat must be from 0 to 2 (got 3)");
  CHECK(message([](P& p) { p.dry_allowed_length = 0; }).starts_with("dry_allowed_length must"));
  CHECK(message([](P& p) { p.logit_bias = {{10, 1.0f}}; }).find("token 10") != std::string::npos);
  CHECK(message([](P& p) { p.logit_bias = {{1, NAN}}; }).find("token 1") != std::string::npos);
  CHECK(message([](P& p) { p.dry_breakers = {-1}; }).find("token -1") != std::string::npos);
  CHECK(message([](P& p) {
          p.order = {"top_k", "magic"};
        }) ==
        "unknown sampler 'magic' (known: penalties, dry, top_n_sigma, top_k, typ_p, top_p, min_p, "
        "xtc, temperature)");
  CHECK(message([](P& p) { p.order = {"top_k", "top_k"}; }).find("twice") != std::string::npos);
}

TEST_CASE("broken logits are an error, not a token") {
  const float inf = std::numeric_limits<float>::infinity();
  for (const float temperature : {0.0f, 1.0f}) {
    SamplingParams p = plain();
    p.temperature = temperature;
    Sampler sampler = make(p, 3);
    for (const std::vector<float>& bad :
         {std::vector<float>{0, NAN, 0}, {0, inf, 0}, {-inf, -inf, -inf}}) {
      const auto token = sampler.sample(bad);
      REQUIRE(!token.has_value());
      CHECK(token.error().code == Errc::kContent);
    }
    CHECK(sampler.sample(std::vector<float>{0, NAN, 0}).error().message ==
          "the model's logit of token 1 is nan");
    CHECK(sampler.sample(std::vector<float>{-inf, 1, -inf}).value() == 1);
  }
}

TEST_CASE("a token of a full vocabulary is chosen quickly") {
  std::mt19937 random(1);
  std::vector<float> logits(102400);
  for (float& x : logits) x = static_cast<float>(random()) / 4294967296.0f * 20;
  SamplingParams defaults;
  Sampler sampler = make(defaults, 102400);
  const std::clock_t start = std::clock();  // of this process alone: other work does not count
  const int n = 50;
  for (int i = 0; i < n; ++i) sampler.accept(sampler.sample(logits).value());
  const double ms = 1e3 * static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC / n;
  std::printf("sampling from 102400 logits: %.3f ms a token\n", ms);
  CHECK(ms < 100);  // far above the usual, so that a sanitizer on a busy machine passes
}
