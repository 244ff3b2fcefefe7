#include "models/engine.h"

#include <doctest/doctest.h>

#include <limits>
#include <map>
#include <optional>

#include "backends/cpu/cpu_backend.h"
#include "runtime/reference_backend.h"
#include "tests/models/tiny_model.h"

using namespace minke;

namespace {

struct Answer {
  std::vector<TokenId> tokens;
  std::optional<Event> finished;
};

struct Fixture {
  test::TempDir dir;
  std::unique_ptr<Model> model = test::open_tiny_model("tiny-236b", dir);
  std::unique_ptr<Backend> backend = std::move(*make_cpu_backend({.n_threads = 2}));

  std::unique_ptr<Engine> engine(const RunnerConfig& config) {
    auto made = Engine::create(*model, *backend, config);
    REQUIRE_MESSAGE(made, (made ? "" : made.error().message));
    return std::move(*made);
  }
};

Request request(std::vector<TokenId> prompt, int max_tokens) {
  Request r{
      .prompt = std::move(prompt), .sampling = {}, .max_tokens = max_tokens, .ignore_eos = true};
  r.sampling.temperature = 0;
  return r;
}

std::vector<TokenId> prompt_of(int n, int seed) {
  std::vector<TokenId> tokens;
  for (int i = 0; i < n; ++i) tokens.push_back((i * 37 + seed * 101 + i * i * seed) % 300);
  return tokens;
}

RequestId submit(Engine& engine, Request r) {
  const auto id = engine.submit(std::move(r));
  REQUIRE_MESSAGE(id, (id ? "" : id.error().message));
  return *id;
}

void collect(Engine& engine, std::map<RequestId, Answer>& answers) {
  for (const Event& e : engine.step()) {
    if (e.kind == Event::Kind::kToken) answers[e.request].tokens.push_back(e.token);
    if (e.kind == Event::Kind::kFinished) answers[e.request].finished = e;
  }
}

std::map<RequestId, Answer> run_all(Engine& engine) {
  std::map<RequestId, Answer> answers;
  while (!engine.idle()) collect(engine, answers);
  return answers;
}

Answer run_one(Engine& engine, Request r) {
  const RequestId id = submit(engine, std::move(r));
  return run_all(engine)[id];
}

}  // namespace

TEST_CASE("requests that run together give what each gives alone") {
  Fixture f;
  const auto alone = f.engine({.n_ctx = 256, .n_sequences = 1, .n_batch = 40});
  const auto together = f.engine({.n_ctx = 256, .n_sequences = 3, .n_batch = 40});
  std::map<RequestId, std::vector<TokenId>> expected;
  for (int i = 0; i < 6; ++i) {
    const Request r = request(prompt_of(5 + 23 * i, i), 12);
    expected[submit(*together, r)] = run_one(*alone, r).tokens;
    alone->clear_cache();
  }
  const auto answers = run_all(*together);
  REQUIRE(answers.size() == 6);
  for (const auto& [id, answer] : answers) {
    CHECK(answer.tokens == expected[id]);
    REQUIRE(answer.finished);
    CHECK(answer.finished->reason == FinishReason::kMaxTokens);
    CHECK(answer.finished->generated == 12);
  }
}

TEST_CASE("a conversation's second turn reads only what is new") {
  Fixture f;
  const auto engine = f.engine({.n_ctx = 256});
  const auto prompt = prompt_of(70, 1);
  const Answer first = run_one(*engine, request(prompt, 8));
  CHECK(first.finished->prompt_cached == 0);

  std::vector<TokenId> next = prompt;
  next.insert(next.end(), first.tokens.begin(), first.tokens.end());
  for (const TokenId t : prompt_of(9, 4)) next.push_back(t);
  const Answer second = run_one(*engine, request(next, 8));
  // The last token of an answer was never run.
  CHECK(second.finished->prompt_cached == 77);
  engine->clear_cache();
  const Answer fresh = run_one(*engine, request(next, 8));
  CHECK(fresh.finished->prompt_cached == 0);
  CHECK(fresh.tokens == second.tokens);

  const Answer same = run_one(*engine, request(next, 8));  // all but its last token is there
  CHECK(same.finished->prompt_cached == static_cast<int>(next.size()) - 1);
  CHECK(same.tokens == second.tokens);
}

TEST_CASE("a busy sequence's prefix is shared") {
  Fixture f;
  const auto engine = f.engine({.n_ctx = 256, .n_sequences = 2});
  const auto prompt = prompt_of(100, 2);
  const RequestId a = submit(*engine, request(prompt, 30));
  std::map<RequestId, Answer> answers;
  for (int i = 0; i < 3; ++i) collect(*engine, answers);
  std::vector<TokenId> other(prompt.begin(), prompt.begin() + 80);
  other.push_back(7);
  const RequestId b = submit(*engine, request(other, 10));
  while (!engine->idle()) collect(*engine, answers);
  CHECK(answers[b].finished->prompt_cached == 80);
  const auto alone = f.engine({.n_ctx = 256});
  CHECK(answers[a].tokens == run_one(*alone, request(prompt, 30)).tokens);
  CHECK(answers[b].tokens == run_one(*alone, request(other, 10)).tokens);
}

TEST_CASE("a request ends when it is cancelled, when the context is full, at its limit") {
  Fixture f;
  const auto engine = f.engine({.n_ctx = 64});
  const Answer full = run_one(*engine, request(prompt_of(60, 3), -1));
  CHECK(full.finished->reason == FinishReason::kContextFull);
  CHECK(full.tokens.size() == 5);  // four find room, the last one is only sampled

  const RequestId id = submit(*engine, request(prompt_of(10, 1), -1));
  const RequestId waiting = submit(*engine, request(prompt_of(10, 2), -1));
  std::map<RequestId, Answer> answers;
  for (int i = 0; i < 4; ++i) collect(*engine, answers);
  engine->cancel(id);
  engine->cancel(waiting);
  while (!engine->idle()) collect(*engine, answers);
  CHECK(answers[id].finished->reason == FinishReason::kCancelled);
  CHECK(answers[id].tokens.size() == 4);
  CHECK(answers[waiting].finished->reason == FinishReason::kCancelled);
  CHECK(answers[waiting].tokens.empty());

  const Answer none = run_one(*engine, request(prompt_of(10, 1), 0));
  CHECK(none.finished->reason == FinishReason::kMaxTokens);
  CHECK(none.tokens.empty());
}

TEST_CASE("impossible requests are refused with the numbers") {
  Fixture f;
  const auto engine = f.engine({.n_ctx = 64});
  const auto long_prompt = engine->submit(request(prompt_of(65, 1), 1));
  REQUIRE_FALSE(long_prompt);
  CHECK(long_prompt.error().code == Errc::kUsage);
  CHECK(long_prompt.error().message.find("65") != std::string::npos);
  CHECK(long_prompt.error().message.find("64") != std::string::npos);
  CHECK_FALSE(engine->submit(request({}, 1)));
  CHECK_FALSE(engine->submit(request({5, 320}, 1)));
  CHECK_FALSE(engine->submit(request({-1}, 1)));
  CHECK_FALSE(make_cpu_backend({.n_threads = 10000}));
  CHECK_FALSE(make_cpu_backend({.n_threads = 1, .isa = "mmx"}));
  CHECK_FALSE(Engine::create(*f.model, *f.backend, {.n_ctx = -5}));
  CHECK_FALSE(Engine::create(*f.model, *f.backend, {.n_ctx = 64, .n_sequences = 9, .n_batch = 8}));
}

namespace {

/// The first value of blk.2.attn_output becomes NaN: the scale of a block where there are blocks.
std::filesystem::path damaged_copy(const Fixture& f, const Model& model, std::string_view nan) {
  std::string bytes = test::read_file(model.file().path());
  const GgufTensor* tensor = model.file().find_tensor("blk.2.attn_output.weight");
  REQUIRE(tensor != nullptr);
  const std::string_view data(reinterpret_cast<const char*>(tensor->data.data()), 64);
  const size_t at = bytes.find(data);
  REQUIRE(at != std::string::npos);
  bytes.replace(at, nan.size(), nan);
  test::write_file(f.dir / "bad.gguf", bytes);
  return f.dir / "bad.gguf";
}

void check_nan_is_named(const Fixture& f, const std::filesystem::path& path, int n_prompt) {
  const auto bad = Model::open(path);
  REQUIRE(bad);
  const auto engine = Engine::create(**bad, *f.backend, {.n_ctx = 128, .n_batch = n_prompt});
  REQUIRE(engine);
  submit(**engine, request(prompt_of(n_prompt, 1), 4));
  const std::vector<Event> events = (*engine)->step();
  REQUIRE(events.size() == 1);
  CHECK(events[0].reason == FinishReason::kError);
  REQUIRE(events[0].error);
  CHECK(events[0].error->code == Errc::kContent);
  CHECK(events[0].error->message.find("blk.2") != std::string::npos);
  CHECK((*engine)->idle());
  CHECK((*engine)->runner().cached_tokens() == 0);
}

}  // namespace

TEST_CASE("NaN in the weights is an error that names the layer, and nothing of it stays cached") {
  Fixture f;
  const std::string_view f32_nan("\x00\x00\xc0\x7f", 4), f16_nan("\x00\x7e", 2);
  for (const int n_prompt : {1, 5, 100}) {
    check_nan_is_named(f, damaged_copy(f, *f.model, f32_nan), n_prompt);
    const auto q8 = test::open_tiny_model("tiny-236b", f.dir, "Q8_0");
    check_nan_is_named(f, damaged_copy(f, *q8, f16_nan), n_prompt);
  }
}

TEST_CASE("a request whose sampler fails ends alone") {
  Fixture f;
  const auto engine = f.engine({.n_ctx = 64, .n_sequences = 2});
  Request hopeless = request(prompt_of(5, 1), 4);
  for (TokenId id = 0; id < f.model->config().n_vocab; ++id)
    hopeless.sampling.logit_bias.emplace_back(id, -std::numeric_limits<float>::infinity());
  const RequestId bad = submit(*engine, hopeless);
  const RequestId good = submit(*engine, request(prompt_of(6, 2), 4));
  auto answers = run_all(*engine);
  CHECK(answers[bad].finished->reason == FinishReason::kError);
  CHECK(answers[good].finished->reason == FinishReason::kMaxTokens);
  CHECK(answers[good].tokens.size() == 4);
}

TEST_CASE("a step that is stopped anywhere is as if it had not been begun") {
  Fixture f;
  const auto engine = f.engine({.n_ctx = 256, .n_batch = 64});
  const Answer whole = run_one(*engine, request(prompt_of(150, 1), 5));
  // What the watcher is told in one step of the prompt.
  engine->clear_cache();
  RequestId id = submit(*engine, request(prompt_of(150, 1), 5));
  int n_asked = 0;
  double last = 0;
  bool in_order = true;
  engine->step([&](double part) {
    in_order = in_order && part >= last && part < 1;
    last = part;
    ++n_asked;
    return true;
  });
  CHECK(in_order);
  CHECK(last > 0.9);
  REQUIRE(n_asked > 20);
  CHECK(engine->runner().cached_tokens() == 64);
  for (double stop_at = 0; stop_at < last; stop_at += 0.01) {
    INFO(stop_at);
    CHECK(engine->step([&](double part) { return part < stop_at; }).empty());
    CHECK(engine->runner().cached_tokens() == 64);
  }
  std::map<RequestId, Answer> answers = run_all(*engine);
  CHECK(answers[id].tokens == whole.tokens);

  // Cancelled while it is read: what was whole stays for the next request.
  engine->clear_cache();
  id = submit(*engine, request(prompt_of(150, 1), 5));
  engine->step();
  engine->step([](double) { return false; });
  engine->cancel(id);
  answers = run_all(*engine);
  CHECK(answers[id].finished->reason == FinishReason::kCancelled);
  CHECK(answers[id].finished->prompt_done == 64);
  const Answer again = run_one(*engine, request(prompt_of(150, 1), 5));
  CHECK(again.finished->prompt_cached == 64);
  CHECK(again.tokens == whole.tokens);
}

TEST_CASE("the reference backend's steps can be stopped too") {
  Fixture f;
  f.backend = make_reference_backend();
  const auto engine = f.engine({.n_ctx = 64});
  submit(*engine, request(prompt_of(5, 1), 1));
  CHECK(engine->step([](double part) { return part < 0.5; }).empty());
  CHECK(engine->runner().cached_tokens() == 0);
  CHECK(engine->step([](double) { return true; }).size() == 3);
}
