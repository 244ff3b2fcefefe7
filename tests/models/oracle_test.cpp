// Whole models against logits that transformers computed (tests/oracle).
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "backends/cpu/cpu_backend.h"
#include "backends/cpu/isa.h"
#include "models/runner.h"
#include "runtime/reference_backend.h"
#include "tests/models/tiny_model.h"
#include "tests/support.h"

using namespace minke;
using nlohmann::json;

namespace {

constexpr double kOracleTolerance = 1e-3;  // of the range of the oracle's logits
constexpr double kSelfTolerance = 1e-4;    // between ways of running the same tokens

/// One piece of an oracle: tokens, and logits (n_rows, n_vocab) of the last n_rows of them.
struct Part {
  std::vector<TokenId> tokens;
  std::vector<float> logits;
  int n_rows;
};

struct Oracle {
  Part prefill, decode, longer;
  double range;
};

Part read_part(const json& description, const char* name, const std::string& bin) {
  const json& part = description["parts"][name];
  const size_t n_vocab = description["vocab_size"], rows = part["rows"], offset = part["offset"];
  Part out{part["tokens"], std::vector<float>(rows * n_vocab), static_cast<int>(rows)};
  std::memcpy(out.logits.data(), bin.data() + offset * sizeof(float),
              out.logits.size() * sizeof(float));
  return out;
}

Oracle read_oracle(const std::filesystem::path& folder) {
  const json description = json::parse(test::read_file(folder / "oracle.json"));
  const std::string bin = test::read_file(folder / "oracle.bin");
  Oracle oracle{read_part(description, "prefill", bin), read_part(description, "decode", bin),
                read_part(description, "long", bin), 0};
  const auto [low, high] = std::ranges::minmax(oracle.prefill.logits);
  oracle.range = static_cast<double>(high) - static_cast<double>(low);
  return oracle;
}

std::unique_ptr<Runner> make_runner(const Model& model, Backend& backend,
                                    CacheType cache = CacheType::kF32, int n_batch = 256) {
  auto runner = Runner::create(
      model, backend, {.n_ctx = 256, .n_sequences = 4, .n_batch = n_batch, .cache_type = cache});
  REQUIRE_MESSAGE(runner, (runner ? "" : runner.error().message));
  return std::move(*runner);
}

/// Logits of the last n_rows tokens of a new sequence, run in pieces of `piece` tokens.
std::vector<float> evaluate(Runner& runner, const std::vector<TokenId>& tokens, int n_rows,
                            int piece) {
  const auto sequence = runner.cache().add_sequence();
  std::vector<float> logits;
  const int n = static_cast<int>(tokens.size());
  for (int at = 0; at < n; at += piece) {
    const int m = std::min(piece, n - at);
    const int outputs = std::clamp(at + m - (n - n_rows), 0, m);
    const Runner::Item item{
        sequence, std::span(tokens).subspan(static_cast<size_t>(at), static_cast<size_t>(m)),
        outputs};
    const auto result = runner.forward({&item, 1});
    REQUIRE_MESSAGE(result, (result ? "" : result.error().message));
    logits.insert(logits.end(), result->begin(), result->end());
  }
  runner.cache().release(sequence);
  return logits;
}

double worst(const std::vector<float>& a, std::span<const float> b) {
  REQUIRE(a.size() == b.size());
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i)
    largest = std::max(largest, std::fabs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  return largest;
}

std::vector<TokenId> joined(std::vector<TokenId> a, const std::vector<TokenId>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

/// Prefill, decode and a long prompt on one backend, against the oracle and against each other.
void check_backend(const Model& model, const Oracle& oracle, Backend& backend) {
  const auto runner = make_runner(model, backend);
  const double allowed = kOracleTolerance * oracle.range, same = kSelfTolerance * oracle.range;
  const auto prefill = evaluate(*runner, oracle.prefill.tokens, oracle.prefill.n_rows, 11);
  CHECK(worst(prefill, oracle.prefill.logits) <= allowed);
  CHECK(worst(evaluate(*runner, oracle.prefill.tokens, oracle.prefill.n_rows, 1), prefill) <= same);

  const auto all = joined(oracle.prefill.tokens, oracle.decode.tokens);
  const auto decode = evaluate(*runner, all, oracle.decode.n_rows, 1);
  CHECK(worst(decode, oracle.decode.logits) <= allowed);
  CHECK(worst(evaluate(*runner, all, oracle.decode.n_rows, 64), decode) <= same);

  const auto longer = evaluate(*runner, oracle.longer.tokens, oracle.longer.n_rows, 256);
  CHECK(worst(longer, oracle.longer.logits) <= allowed);
  CHECK(worst(evaluate(*runner, oracle.longer.tokens, oracle.longer.n_rows, 47), longer) <= same);
}

const char* const kModels[] = {"tiny-lite", "tiny-lite-bf16", "tiny-lite-fp8", "tiny-236b",
                               "tiny-236b-0.707"};

}  // namespace

TEST_CASE("the reference backend gives the logits of transformers") {
  const test::TempDir dir;
  const auto backend = make_reference_backend();
  for (const char* name : kModels) {
    CAPTURE(name);
    const auto model = test::open_tiny_model(name, dir);
    const Oracle oracle = read_oracle(test::data_path(name));
    const auto runner = make_runner(*model, *backend);
    CHECK(worst(evaluate(*runner, oracle.prefill.tokens, oracle.prefill.n_rows, 11),
                oracle.prefill.logits) <= kOracleTolerance * oracle.range);
  }
}

TEST_CASE("every instruction set and both forms of attention give the logits of transformers") {
  const test::TempDir dir;
  for (const char* name : kModels) {
    const auto model = test::open_tiny_model(name, dir);
    const Oracle oracle = read_oracle(test::data_path(name));
    for (const cpu::KernelTable* kernels : cpu::available_kernels()) {
      for (const auto form :
           {cpu::MlaForm::kAbsorbed, cpu::MlaForm::kRebuilt, cpu::MlaForm::kAuto}) {
        CAPTURE(name);
        CAPTURE(kernels->name);
        CAPTURE(static_cast<int>(form));
        const auto backend =
            make_cpu_backend({.n_threads = 2, .isa = kernels->name, .mla_form = form});
        REQUIRE(backend);
        check_backend(*model, oracle, **backend);
      }
    }
  }
}

TEST_CASE("absorbed and rebuilt attention agree, and threads change nothing") {
  const test::TempDir dir;
  const auto model = test::open_tiny_model("tiny-236b", dir);
  const Oracle oracle = read_oracle(test::data_path("tiny-236b"));
  const auto run = [&](cpu::MlaForm form, int n_threads) {
    const auto backend = make_cpu_backend({.n_threads = n_threads, .mla_form = form});
    REQUIRE(backend);
    return evaluate(*make_runner(*model, **backend), oracle.longer.tokens, 4, 256);
  };
  const auto absorbed = run(cpu::MlaForm::kAbsorbed, 1);
  CHECK(worst(absorbed, run(cpu::MlaForm::kRebuilt, 1)) <= kSelfTolerance * oracle.range);
  CHECK(absorbed == run(cpu::MlaForm::kAbsorbed, 3));
  CHECK(run(cpu::MlaForm::kRebuilt, 1) == run(cpu::MlaForm::kRebuilt, 4));
}

TEST_CASE("a sequence's logits do not depend on what is batched with it") {
  const test::TempDir dir;
  const auto model = test::open_tiny_model("tiny-236b", dir);
  const Oracle oracle = read_oracle(test::data_path("tiny-236b"));
  const auto backend = make_cpu_backend({.n_threads = 2});
  REQUIRE(backend);
  const auto runner = make_runner(*model, **backend);
  LatentCache& cache = runner->cache();
  const std::vector<TokenId>& prompt = oracle.prefill.tokens;
  const auto next_of = [&](size_t i) { return std::span(oracle.decode.tokens).subspan(i, 1); };
  // Alone: the prompt at once, then token by token, as below.
  const auto alone = cache.add_sequence();
  const Runner::Item whole{alone, prompt, 1};
  REQUIRE(runner->forward({&whole, 1}));
  std::vector<std::vector<float>> expected;
  for (size_t i = 0; i < oracle.decode.tokens.size(); ++i) {
    const Runner::Item item{alone, next_of(i), 1};
    const auto logits = runner->forward({&item, 1});
    REQUIRE(logits);
    expected.emplace_back(logits->begin(), logits->end());
  }
  const auto a = cache.add_sequence(), b = cache.add_sequence();
  const Runner::Item start[] = {{b, std::span(oracle.longer.tokens).first(90), 1}, {a, prompt, 1}};
  REQUIRE(runner->forward(start));
  const auto shared = cache.fork(a, static_cast<int>(prompt.size()));
  const size_t n_vocab = static_cast<size_t>(model->config().n_vocab);
  for (size_t i = 0; i < expected.size(); ++i) {
    const Runner::Item step[] = {{b, std::span(oracle.longer.tokens).subspan(90 + i, 1), 1},
                                 {shared, next_of(i), 1},
                                 {a, next_of(i), 1}};
    const auto logits = runner->forward(step);
    REQUIRE(logits);
    const double same = kSelfTolerance * oracle.range;
    CHECK(worst(expected[i], logits->subspan(n_vocab, n_vocab)) <= same);
    CHECK(worst(expected[i], logits->subspan(2 * n_vocab, n_vocab)) <= same);
  }
}

TEST_CASE("a long cache's sums do not depend on what is batched beside the sequence") {
  const test::TempDir dir;
  const auto model = test::open_tiny_model("tiny-lite", dir);
  const Oracle oracle = read_oracle(test::data_path("tiny-lite"));
  const auto backend = make_cpu_backend({.n_threads = 2, .mla_form = cpu::MlaForm::kAbsorbed});
  REQUIRE(backend);
  auto runner = Runner::create(
      *model, **backend,
      {.n_ctx = 1024, .n_sequences = 2, .n_batch = 1024, .cache_type = CacheType::kF32});
  REQUIRE(runner);
  LatentCache& cache = (*runner)->cache();
  std::vector<TokenId> history;
  while (history.size() < 700) history = joined(history, oracle.longer.tokens);
  const auto long_one = cache.add_sequence();
  const Runner::Item read{long_one, history, 0};
  REQUIRE((*runner)->forward({&read, 1}));
  const TokenId next[] = {7};
  const Runner::Item alone{long_one, next, 1};
  const auto first = (*runner)->forward({&alone, 1});
  REQUIRE(first);
  const std::vector<float> expected(first->begin(), first->end());
  cache.truncate(long_one, static_cast<int>(history.size()));
  const auto other = cache.add_sequence();
  const Runner::Item both[] = {{long_one, next, 1}, {other, std::span(history).first(20), 0}};
  const auto second = (*runner)->forward(both);
  REQUIRE(second);
  CHECK(expected == std::vector<float>(second->begin(), second->end()));
}

TEST_CASE("with a rounded cache a prompt's logits do not depend on how it was cut into steps") {
  const test::TempDir dir;
  const auto model = test::open_tiny_model("tiny-lite", dir, "Q8_0");
  const Oracle oracle = read_oracle(test::data_path("tiny-lite"));
  std::vector<TokenId> prompt;  // long enough to be read in several pieces
  while (prompt.size() < 700) prompt = joined(prompt, oracle.longer.tokens);
  for (const CacheType cache : {CacheType::kF16, CacheType::kQ8}) {
    const auto backend = make_cpu_backend({.n_threads = 2});
    REQUIRE(backend);
    auto runner = Runner::create(
        *model, **backend, {.n_ctx = 1024, .n_sequences = 1, .n_batch = 64, .cache_type = cache});
    REQUIRE(runner);
    const std::vector<float> expected = evaluate(**runner, prompt, 3, 40);
    for (const int piece : {1, 7, 16, 17}) {
      CAPTURE(piece);
      CHECK(evaluate(**runner, prompt, 3, piece) == expected);
    }
  }
}

TEST_CASE("rounded caches and weights stay close to the oracle") {
  const test::TempDir dir;
  const Oracle oracle = read_oracle(test::data_path("tiny-lite"));
  const auto backend = make_cpu_backend({.n_threads = 2});
  REQUIRE(backend);
  const auto distance = [&](const char* recipe, CacheType cache) {
    const auto model = test::open_tiny_model("tiny-lite", dir, recipe);
    const auto runner = make_runner(*model, **backend, cache);
    return worst(evaluate(*runner, oracle.prefill.tokens, oracle.prefill.n_rows, 11),
                 oracle.prefill.logits) /
           oracle.range;
  };
  CHECK(distance("F32", CacheType::kF16) < 6e-3);  // and attention in 8 bits
  CHECK(distance("F32", CacheType::kBF16) < 2e-2);
  CHECK(distance("F32", CacheType::kQ8) < 2e-2);
  CHECK(distance("F32", CacheType::kQ8_0) < 2e-2);
  CHECK(distance("F32", CacheType::kFp8) < 5e-2);
  CHECK(distance("F32", CacheType::kQ6) < 5e-2);
  CHECK(distance("F32", CacheType::kQ4) < 1e-1);
  CHECK(distance("F16", CacheType::kF32) < 5e-3);
  CHECK(distance("BF16", CacheType::kF32) < 3e-2);
  CHECK(distance("Q8_0", CacheType::kF32) < 5e-2);
}
