#include "models/chat_template.h"

#include <fmt/format.h>

#include <array>

#include "runtime/input_file.h"
#include "runtime/utf8.h"

namespace minke {
namespace {

constexpr std::string_view kUser = "<｜User｜>";
constexpr std::string_view kAssistant = "<｜Assistant｜>";

struct Named {
  ChatTemplateKind kind;
  std::string_view letter, name;
};
constexpr std::array kNames{
    Named{ChatTemplateKind::kA, "a", "deepseek2"},
    Named{ChatTemplateKind::kB, "b", "deepseek2-0628"},
    Named{ChatTemplateKind::kC, "c", "deepseek2.5"},
};

/// A part of a rendered conversation. Text between tokens is tokenized as one piece, across the
/// borders of messages: so the reference does it, and so the model learned it.
struct Part {
  enum class Kind { kText, kBos, kEos, kMarker } kind;
  std::string text;  ///< kText and kMarker.
};

class Parts {
 public:
  void text(std::string_view text) {
    if (text.empty()) return;
    if (parts_.empty() || parts_.back().kind != Part::Kind::kText) {
      parts_.push_back({Part::Kind::kText, {}});
    }
    parts_.back().text += text;
  }
  void bos() { parts_.push_back({Part::Kind::kBos, {}}); }
  void eos() { parts_.push_back({Part::Kind::kEos, {}}); }
  void marker(std::string_view text) { parts_.push_back({Part::Kind::kMarker, std::string(text)}); }
  std::vector<Part> take() { return std::move(parts_); }

 private:
  std::vector<Part> parts_;
};

void add_system_in_front(std::span<const ChatMessage> messages, Parts& out) {
  std::string_view last;
  for (const ChatMessage& message : messages) {
    if (message.role == "system") last = message.content;
  }
  out.text(last);
}

void add_message(ChatTemplateKind kind, const ChatMessage& message, Parts& out) {
  const bool words = kind == ChatTemplateKind::kA;  // roles are words, not tokens
  if (message.role == "system" && kind != ChatTemplateKind::kC) {
    out.text(message.content);
    out.text("\n\n");
  } else if (message.role == "user") {
    words ? out.text("User: ") : out.marker(kUser);
    out.text(message.content);
    if (words) out.text("\n\n");
  } else if (message.role == "assistant") {
    words ? out.text("Assistant: ") : out.marker(kAssistant);
    out.text(message.content);
    out.eos();
  }
}

std::vector<Part> lay_out(ChatTemplateKind kind, std::span<const ChatMessage> messages,
                          bool add_generation_prompt) {
  Parts out;
  out.bos();
  if (kind == ChatTemplateKind::kC) add_system_in_front(messages, out);
  for (const ChatMessage& message : messages) add_message(kind, message, out);
  if (add_generation_prompt) {
    kind == ChatTemplateKind::kA ? out.text("Assistant:") : out.marker(kAssistant);
  }
  return out.take();
}

/// The token of a part that is no text, -1 if the vocabulary has none.
TokenId token_of(const Part& part, const Tokenizer& tokenizer) {
  if (part.kind == Part::Kind::kBos) return tokenizer.bos();
  if (part.kind == Part::Kind::kEos) return tokenizer.eos();
  const TokenId id = tokenizer.find(part.text);
  return tokenizer.is_control(id) ? id : -1;
}

}  // namespace

Result<ChatTemplate> ChatTemplate::from_name(std::string_view name) {
  std::string known;
  for (const Named& named : kNames) {
    if (name == named.letter || name == named.name) return ChatTemplate(named.kind);
    known += fmt::format("{}{} ({})", known.empty() ? "" : ", ", named.letter, named.name);
  }
  return fail(Errc::kUsage, "unknown chat template '{}' (known: {})", printable(name), known);
}

std::string_view ChatTemplate::name() const noexcept {
  return kNames[static_cast<size_t>(kind_)].name;
}

Result<ChatTemplate> ChatTemplate::from_gguf(const GgufFile& file) {
  constexpr std::string_view kKey = "tokenizer.chat_template";
  if (!file.has(kKey)) {
    return fail(Errc::kUnsupported,
                "{}: the file has no chat template; choose one with --chat-template a|b|c",
                printable_path(file.path()));
  }
  MINKE_ASSIGN(const auto jinja, file.get_string(kKey));
  auto found = from_jinja(jinja);
  if (!found)
    return fail(found.error().code, "{}: {}", printable_path(file.path()), found.error().message);
  return found;
}

Status ChatTemplate::check_vocabulary(const Tokenizer& tokenizer) const {
  const ChatMessage messages[] = {{"user", ""}, {"assistant", ""}, {"user", ""}};
  for (const Part& part : lay_out(kind_, messages, true)) {
    if (part.kind != Part::Kind::kMarker || token_of(part, tokenizer) >= 0) continue;
    return fail(Errc::kUsage,
                "the chat template {} needs the control token '{}', which the vocabulary lacks: "
                "choose another with --chat-template a|b|c",
                name(), part.text);
  }
  return {};
}

Status ChatTemplate::check(std::span<const ChatMessage> messages) {
  for (size_t i = 0; i < messages.size(); ++i) {
    const std::string& role = messages[i].role;
    if (role != "system" && role != "user" && role != "assistant") {
      return fail(Errc::kUsage, "message {}: unknown role '{}' (known: system, user, assistant)",
                  i + 1, role);
    }
  }
  return {};
}

std::vector<TokenId> ChatTemplate::apply(const Tokenizer& tokenizer,
                                         std::span<const ChatMessage> messages,
                                         bool add_generation_prompt) const {
  std::vector<TokenId> ids;
  std::string text;
  const auto flush = [&] {
    const std::vector<TokenId> encoded = tokenizer.encode(text);
    ids.insert(ids.end(), encoded.begin(), encoded.end());
    text.clear();
  };
  for (const Part& part : lay_out(kind_, messages, add_generation_prompt)) {
    if (part.kind == Part::Kind::kText) {
      text += part.text;
      continue;
    }
    const TokenId id = token_of(part, tokenizer);
    if (id >= 0) {
      flush();
      ids.push_back(id);
    } else {
      text += part.text;  // a vocabulary without the marker spells it
    }
  }
  flush();
  return ids;
}

std::string ChatTemplate::render(const Tokenizer& tokenizer, std::span<const ChatMessage> messages,
                                 bool add_generation_prompt) const {
  std::string text;
  for (const Part& part : lay_out(kind_, messages, add_generation_prompt)) {
    const TokenId id = part.kind == Part::Kind::kText ? -1 : token_of(part, tokenizer);
    text += id >= 0 ? tokenizer.token_bytes(id) : std::string_view(part.text);
  }
  return text;
}

std::string_view ChatTemplate::answer_content(std::string_view generated) const noexcept {
  if (kind_ == ChatTemplateKind::kA && generated.starts_with(' ')) generated.remove_prefix(1);
  return generated;
}

}  // namespace minke
