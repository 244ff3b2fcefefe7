// Recognises the family's templates from their Jinja text, without running it: by the string
// literals that it can put out. Copies of a template differ in spacing, quotes and line breaks, not
// in those; a literal that none of the three has makes it another template.
#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "models/chat_template.h"

namespace minke {
namespace {

constexpr std::string_view kUser = "<｜User｜>";
constexpr std::string_view kAssistant = "<｜Assistant｜>";
constexpr std::string_view kBos = "<｜begin▁of▁sentence｜>";
constexpr std::string_view kEos = "<｜end▁of▁sentence｜>";

struct Scan {
  std::vector<std::string> literals;
  bool names_eos = false;   ///< The variable eos_token.
  bool stray_text = false;  ///< White space between tags that would be put out.
};

bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

/// The literals of one tag's inside.
void scan_tag(std::string_view inside, Scan& scan) {
  if (inside.find("eos_token") != std::string_view::npos) scan.names_eos = true;
  for (size_t i = 0; i < inside.size(); ++i) {
    const char quote = inside[i];
    if (quote != '\'' && quote != '"') continue;
    std::string literal;
    for (++i; i < inside.size() && inside[i] != quote; ++i) {
      if (inside[i] == '\\' && i + 1 < inside.size()) {
        ++i;
        literal += inside[i] == 'n' ? '\n' : inside[i] == 't' ? '\t' : inside[i];
      } else {
        literal += inside[i];
      }
    }
    scan.literals.push_back(std::move(literal));
  }
}

/// The position of the tag's end, past quoted strings, which may hold anything.
size_t find_tag_end(std::string_view jinja, size_t from, std::string_view closing) {
  char quote = 0;
  for (size_t i = from; i + 1 < jinja.size(); ++i) {
    if (quote != 0) {
      if (jinja[i] == '\\') {
        ++i;
      } else if (jinja[i] == quote) {
        quote = 0;
      }
    } else if (jinja.substr(i, 2) == closing) {
      return i;
    } else if (closing != "#}" && (jinja[i] == '\'' || jinja[i] == '"')) {
      quote = jinja[i];
    }
  }
  return std::string_view::npos;
}

/// nullopt if a tag does not end.
std::optional<Scan> scan_jinja(std::string_view jinja) {
  Scan scan;
  bool eats_space = true;  // the tag before takes the white space behind it
  for (size_t i = 0; i < jinja.size();) {
    size_t tag = i;
    while (tag < jinja.size() &&
           !(jinja[tag] == '{' && tag + 1 < jinja.size() &&
             (jinja[tag + 1] == '{' || jinja[tag + 1] == '%' || jinja[tag + 1] == '#'))) {
      ++tag;
    }
    const std::string_view between = jinja.substr(i, tag - i);
    const bool at_end = tag == jinja.size();
    const bool next_eats = at_end || (tag + 2 < jinja.size() && jinja[tag + 2] == '-');
    if (!is_blank(between)) {
      scan.literals.emplace_back(between);
    } else if (!between.empty() && !eats_space && !next_eats) {
      scan.stray_text = true;
    }
    if (at_end) break;
    const char kind = jinja[tag + 1];
    const std::string_view closing = kind == '{' ? "}}" : kind == '%' ? "%}" : "#}";
    const size_t end = find_tag_end(jinja, tag + 2, closing);
    if (end == std::string_view::npos) return std::nullopt;
    if (kind != '#') scan_tag(jinja.substr(tag + 2, end - tag - 2), scan);
    // Renderers of chat templates trim the line end behind a block; behind an expression only `-`
    // does.
    eats_space = kind != '{' || jinja[end - 1] == '-';
    i = end + 2;
  }
  return scan;
}

/// Keys and values that templates compare with but do not put out.
bool is_key(std::string_view literal) {
  static constexpr std::string_view kKeys[] = {
      "",     "role",       "user",     "content", "system",    "assistant", "tool",
      "type", "tool_calls", "function", "name",    "arguments", kBos,        kEos};
  return std::ranges::find(kKeys, literal) != std::end(kKeys);
}

/// C's tool calls: markers of tool tokens, line breaks, code fences, "json".
bool is_tool_text(std::string_view literal) {
  while (!literal.empty()) {
    if (literal.starts_with("<｜tool▁") || literal.starts_with(kAssistant) ||
        literal.starts_with(kEos)) {
      const size_t end = literal.find("｜>");
      if (end == std::string_view::npos) return false;
      literal.remove_prefix(end + std::string_view("｜>").size());
    } else if (literal.starts_with("json")) {
      literal.remove_prefix(4);
    } else if (literal.starts_with("\\n")) {  // an escape that a copy doubled
      literal.remove_prefix(2);
    } else if (literal[0] == '\n' || literal[0] == '`') {
      literal.remove_prefix(1);
    } else {
      return false;
    }
  }
  return true;
}

std::optional<ChatTemplateKind> recognise(const Scan& scan) {
  const auto count = [&](std::string_view text) {
    return std::count(scan.literals.begin(), scan.literals.end(), text);
  };
  const auto only = [&](auto allowed) {
    return std::all_of(scan.literals.begin(), scan.literals.end(),
                       [&](const std::string& s) { return is_key(s) || allowed(s); });
  };
  if (scan.stray_text) return std::nullopt;
  const bool ends_answers =
      scan.names_eos || std::any_of(scan.literals.begin(), scan.literals.end(),
                                    [](const std::string& s) { return s.ends_with(kEos); });
  if (!ends_answers) return std::nullopt;

  const bool words = count("User: ") == 1 && count("Assistant: ") == 1 &&
                     count("Assistant:") == 1 && count("\n\n") == 2;
  if (words && only([](const std::string& s) {
        return s == "User: " || s == "Assistant: " || s == "Assistant:" || s == "\n\n";
      })) {
    return ChatTemplateKind::kA;
  }
  if (count(kUser) != 1 || count(kAssistant) == 0) return std::nullopt;
  const auto is_marker = [](const std::string& s) { return s == kUser || s == kAssistant; };
  if (count("\n\n") == 1 &&
      only([&](const std::string& s) { return is_marker(s) || s == "\n\n"; })) {
    return ChatTemplateKind::kB;
  }
  const bool has_tools =
      std::any_of(scan.literals.begin(), scan.literals.end(),
                  [](const std::string& s) { return s.find("<｜tool▁") != std::string::npos; });
  if (count("\n\n") == 0 &&
      only([&](const std::string& s) { return is_marker(s) || (has_tools && is_tool_text(s)); })) {
    return ChatTemplateKind::kC;
  }
  return std::nullopt;
}

}  // namespace

Result<ChatTemplate> ChatTemplate::from_jinja(std::string_view jinja) {
  if (const auto scan = scan_jinja(jinja)) {
    if (const auto kind = recognise(*scan)) return ChatTemplate(*kind);
  }
  return fail(Errc::kUnsupported,
              "the chat template is none of those known; choose one with --chat-template a|b|c");
}

}  // namespace minke
