#include "apps/conversation.h"

#include <doctest/doctest.h>

#include "tests/apps/app_model.h"

using namespace minke;
using namespace minke::apps;

namespace {

ChatTemplate template_of(const char* name) { return *ChatTemplate::from_name(name); }

}  // namespace

TEST_CASE("conversations: the tokens are those of the template where answers are plain text") {
  const Tokenizer& tokenizer = test::tiny_model().tokenizer();
  const Conversation conversation{
      .system = "Be brief.",
      .turns = {{"One?", "Two words.", {}}, {"数?", "三 3", {}}, {"", "x", {}}}};
  for (const char* name : {"a", "b", "c"}) {
    INFO(name);
    const ChatTemplate chat_template = template_of(name);
    std::vector<ChatMessage> messages = conversation.messages();
    messages.push_back({"user", "And now?"});
    CHECK(prompt_tokens(conversation, "And now?", chat_template, tokenizer) ==
          chat_template.apply(tokenizer, messages, true));
  }
}

TEST_CASE("conversations: an answer keeps the tokens it was generated with") {
  const Tokenizer& tokenizer = test::tiny_model().tokenizer();
  const ChatTemplate chat_template = template_of("a");
  // "ab" byte by byte: not what the tokenizer makes of it, if it knows a token for both.
  const TokenId a = tokenizer.encode("a").at(0), b = tokenizer.encode("b").at(0);
  Conversation conversation;
  const std::vector<TokenId> first = prompt_tokens(conversation, "Say", chat_template, tokenizer);
  conversation.turns.push_back({"Say", "abab", {a, b, a, b}});
  const std::vector<TokenId> second = prompt_tokens(conversation, "More", chat_template, tokenizer);
  std::vector<TokenId> expected = first;
  for (const TokenId id : {a, b, a, b, tokenizer.eos()}) expected.push_back(id);
  REQUIRE(second.size() > expected.size());
  CHECK(std::vector<TokenId>(second.begin(),
                             second.begin() + static_cast<ptrdiff_t>(expected.size())) == expected);
  CHECK(std::count(second.begin(), second.end(), tokenizer.bos()) == 1);
}
