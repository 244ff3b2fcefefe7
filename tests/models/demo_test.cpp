// The demo model on held-out questions, beside what transformers answered from the same checkpoint
// (tests/oracle). More files of the same checkpoint can be named, separated by colons, in
// $MINKE_DEMO_FILES.
#include <doctest/doctest.h>

#include <cstdlib>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "backends/cpu/cpu_backend.h"
#include "models/chat_template.h"
#include "models/deepseek2/weights.h"
#include "models/engine.h"
#include "tests/support.h"

using namespace minke;

namespace {

struct Question {
  std::string prompt, expected, transformers;
  std::vector<TokenId> ids;  ///< What transformers generated, EOS included.
};

std::vector<Question> read_questions() {
  std::istringstream lines(test::read_file(test::data_path("demo_questions.jsonl")));
  std::vector<Question> questions;
  for (std::string line; std::getline(lines, line);) {
    const auto q = nlohmann::json::parse(line);
    questions.push_back({q["prompt"], q["expected"], q["transformers"], q["ids"]});
  }
  return questions;
}

/// Greedy answers, several at a time, without EOS.
std::vector<std::vector<TokenId>> ask_all(const Model& model,
                                          const std::vector<Question>& questions,
                                          CacheType cache_type = kDefaultCacheType) {
  const auto backend = make_cpu_backend({.n_threads = 2});
  REQUIRE(backend);
  const auto engine =
      Engine::create(model, **backend, {.n_ctx = 2048, .n_sequences = 6, .cache_type = cache_type});
  REQUIRE_MESSAGE(engine, (engine ? "" : engine.error().message));
  const auto chat_template = ChatTemplate::from_gguf(model.file());
  REQUIRE(chat_template);
  std::map<RequestId, size_t> numbers;
  for (size_t i = 0; i < questions.size(); ++i) {
    const ChatMessage message{"user", questions[i].prompt};
    Request request{.prompt = chat_template->apply(model.tokenizer(), {&message, 1}, true),
                    .sampling = {},
                    .max_tokens = 48};
    request.sampling.temperature = 0;
    const auto id = (*engine)->submit(std::move(request));
    REQUIRE_MESSAGE(id, (id ? "" : id.error().message));
    numbers[*id] = i;
  }
  std::vector<std::vector<TokenId>> answers(questions.size());
  while (!(*engine)->idle()) {
    for (const Event& e : (*engine)->step())
      if (e.kind == Event::Kind::kToken) answers[numbers[e.request]].push_back(e.token);
  }
  return answers;
}

int count_right(const Model& model, const std::vector<Question>& questions, CacheType cache_type) {
  const auto chat_template = ChatTemplate::from_gguf(model.file());
  REQUIRE(chat_template);
  const auto answers = ask_all(model, questions, cache_type);
  int right = 0;
  for (size_t i = 0; i < questions.size(); ++i) {
    const std::string text = model.tokenizer().decode(answers[i]);
    right += chat_template->answer_content(text) == questions[i].expected ? 1 : 0;
  }
  return right;
}

void check_file(const std::string& path, const std::vector<Question>& questions) {
  const auto model = Model::open(path);
  REQUIRE_MESSAGE(model, (model ? "" : model.error().message));
  const auto chat_template = ChatTemplate::from_gguf((*model)->file());
  REQUIRE(chat_template);
  const auto answers = ask_all(**model, questions);
  int right = 0, right_there = 0, same = 0;
  for (size_t i = 0; i < questions.size(); ++i) {
    const Question& q = questions[i];
    const std::string text = (*model)->tokenizer().decode(answers[i]);
    right += chat_template->answer_content(text) == q.expected ? 1 : 0;
    right_there += q.transformers == q.expected ? 1 : 0;
    std::vector<TokenId> theirs = q.ids;
    if (!theirs.empty() && theirs.back() == (*model)->tokenizer().eos()) theirs.pop_back();
    same += answers[i] == theirs ? 1 : 0;
  }
  const int n = static_cast<int>(questions.size());
  CHECK(100 * right_there >= 95 * n);
  std::cout << fmt::format("{}: {} of {} right, {} in transformers; {} answers the same\n", path,
                           right, n, right_there, same);
  const DType dtype = (*model)->weights().output.desc.dtype;
  // Rounding weights may change an answer: at most in 1 of 100 with 8 bits, 5 with fewer.
  const int allowed = dtype == DType::kF32 ? 0 : dtype == DType::kQ8_0 ? n / 100 : n / 20;
  CHECK(std::abs(right - right_there) <= allowed);
  if (dtype == DType::kF32) CHECK(same == n);
}

}  // namespace

TEST_CASE("the demo model answers held-out questions as it does in transformers") {
  const std::string demo = std::string(MINKE_SOURCE_DIR) + "/models/demo/minke-demo-q8_0.gguf";
  const auto questions = read_questions();
  REQUIRE(questions.size() == 300);
  check_file(demo, questions);
  const char* more = std::getenv("MINKE_DEMO_FILES");
  std::istringstream files(more != nullptr ? more : "");
  for (std::string path; std::getline(files, path, ':');) check_file(path, questions);
}

TEST_CASE("the demo model answers with every type of the cache") {
  const auto model =
      Model::open(std::string(MINKE_SOURCE_DIR) + "/models/demo/minke-demo-q8_0.gguf");
  REQUIRE(model);
  std::vector<Question> questions;  // every fourth, of all kinds
  for (const Question& q : read_questions())
    if (q.ids.size() % 4 == 0) questions.push_back(q);
  const int n = static_cast<int>(questions.size());
  REQUIRE(n > 50);
  const int exact = count_right(**model, questions, CacheType::kF32);
  for (const CacheType type : cache_types()) {
    const int right = count_right(**model, questions, type);
    INFO(cache_type_name(type), ": ", right, " of ", n, " right, ", exact, " with f32");
    CHECK(right >= exact - n / 20);
  }
}
