#include "convert/hf_tokenizer.h"

#include <string_view>
#include <unordered_map>
#include <utility>

#include "convert/file_text.h"
#include "convert/json.h"
#include "convert/pretokenizer.h"
#include "runtime/input_file.h"
#include "runtime/model_ranges.h"
#include "runtime/utf8.h"

namespace minke::convert {
namespace {

using nlohmann::json;

constexpr size_t kMaxTokenizerBytes = 256 << 20;
constexpr size_t kMaxConfigBytes = 16 << 20;
constexpr size_t kMaxTemplateBytes = 1 << 20;

std::string shown(std::string_view text) { return printable(text, 60); }

/// Fills tokens and types from tokenizer.json.
class VocabularyReader {
 public:
  VocabularyReader(const std::string& file, int64_t vocab_size, HfTokenizer& out)
      : file_(file), out_(out) {
    out_.tokens.resize(static_cast<size_t>(vocab_size));
    out_.types.resize(static_cast<size_t>(vocab_size), 0);
  }

  Status read(const json& vocab, const json* added_tokens) {
    if (!vocab.is_object()) return bad("'model.vocab' is not an object");
    for (const auto& [text, id] : vocab.items()) {
      MINKE_TRY(add(text, id, TokenType::kNormal));
    }
    if (added_tokens != nullptr) MINKE_TRY(read_added(*added_tokens));
    return pad();
  }

  bool is_normal(const std::string& text) const {
    const auto id = ids_.find(text);
    return id != ids_.end() && type_of(id->second) == TokenType::kNormal;
  }

 private:
  TokenType type_of(size_t id) const { return static_cast<TokenType>(out_.types[id]); }

  template <class... Args>
  tl::unexpected<Error> bad(fmt::format_string<Args...> format, Args&&... args) const {
    return fail(Errc::kContent, "{}: {}", file_, fmt::format(format, std::forward<Args>(args)...));
  }

  Status add(const std::string& text, const json& id, TokenType type) {
    if (text.empty() || text.size() > kMaxTokenBytes || text.find('\0') != std::string::npos) {
      return bad("token '{}': got {} bytes, allowed 1 to {} and no NUL", shown(text), text.size(),
                 kMaxTokenBytes);
    }
    const auto size = out_.tokens.size();
    if (!id.is_number_unsigned() || id.get<uint64_t>() >= size) {
      return bad("token '{}': id got {}, allowed 0 to {} (vocab_size of config.json)", shown(text),
                 shown(id.dump()), size - 1);
    }
    const auto index = static_cast<size_t>(id.get<uint64_t>());
    if (out_.types[index] != 0 && out_.tokens[index] != text) {
      return bad("token '{}': id {} belongs to '{}' too", shown(text), index,
                 shown(out_.tokens[index]));
    }
    out_.tokens[index] = text;
    out_.types[index] = static_cast<int32_t>(type);
    const auto [place, is_new] = ids_.emplace(out_.tokens[index], index);
    if (!is_new && place->second != index) {
      return bad("token '{}': has the ids {} and {}", shown(text), place->second, index);
    }
    return {};
  }

  Status read_added(const json& added) {
    if (!added.is_array()) return bad("'added_tokens' is not a list");
    for (const json& entry : added) {
      MINKE_ASSIGN(const JsonFields fields, JsonFields::of(entry, file_, "added_tokens"));
      MINKE_ASSIGN(const std::string text, fields.get_string("content"));
      MINKE_ASSIGN(const bool special, fields.get_bool_or("special", false));
      const json* id = fields.find("id");
      if (id == nullptr) return fields.error(Errc::kContent, "id", "is missing");
      const bool is_control = special || looks_like_control(text);
      MINKE_TRY(add(text, *id, is_control ? TokenType::kControl : TokenType::kUserDefined));
    }
    return {};
  }

  /// Checkpoints round the vocabulary up: ids after the last token are unused. A hole before it is
  /// a mistake.
  Status pad() {
    size_t n_used = out_.types.size();
    while (n_used > 0 && out_.types[n_used - 1] == 0) --n_used;
    for (size_t id = 0; id < out_.types.size(); ++id) {
      if (out_.types[id] != 0) continue;
      if (id < n_used) return bad("no token has the id {}, but one has {}", id, n_used - 1);
      out_.tokens[id] = fmt::format("[PAD{}]", id);
      out_.types[id] = static_cast<int32_t>(TokenType::kUnused);
    }
    return {};
  }

  const std::string& file_;
  HfTokenizer& out_;
  std::unordered_map<std::string_view, size_t> ids_;  // keys view into out_.tokens
};

/// A merge is "left right" (files until 2024) or ["left", "right"].
bool split_merge(const json& merge, std::string_view& left, std::string_view& right) {
  if (merge.is_string()) {
    const std::string_view text = merge.get_ref<const std::string&>();
    const size_t space = text.find(' ');
    if (space == std::string_view::npos) return false;
    left = text.substr(0, space);
    right = text.substr(space + 1);
  } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
             merge[1].is_string()) {
    left = merge[0].get_ref<const std::string&>();
    right = merge[1].get_ref<const std::string&>();
  } else {
    return false;
  }
  const auto whole = [](std::string_view part) {
    return !part.empty() && part.find(' ') == std::string_view::npos;
  };
  return whole(left) && whole(right);
}

Status read_merges(const json& merges, const VocabularyReader& vocabulary, const std::string& file,
                   HfTokenizer& out) {
  if (!merges.is_array()) return fail(Errc::kContent, "{}: 'model.merges' is not a list", file);
  if (!ranges::kMerges.contains(static_cast<int64_t>(merges.size()))) {
    return fail(Errc::kContent, "{}: 'model.merges': got {} merges, allowed {}", file,
                merges.size(), ranges::kMerges.high);
  }
  out.merges.reserve(merges.size());
  for (size_t i = 0; i < merges.size(); ++i) {
    std::string_view left, right;
    if (!split_merge(merges[i], left, right)) {
      return fail(Errc::kContent, "{}: merge {}: not two tokens (got {})", file, i,
                  shown(merges[i].dump(-1, ' ', true, json::error_handler_t::replace)));
    }
    for (const std::string& token :
         {std::string(left), std::string(right), std::string(left) + std::string(right)}) {
      // With a special one, plain text could turn into a control token.
      if (!vocabulary.is_normal(token)) {
        return fail(Errc::kContent, "{}: merge {}: '{}' is not a normal token of the vocabulary",
                    file, i, shown(token));
      }
    }
    out.merges.push_back(fmt::format("{} {}", left, right));
  }
  return {};
}

/// Options of BPE that would split words in another way than every GGUF reader does.
Status check_model(const JsonFields& model) {
  MINKE_ASSIGN(const std::string type, model.get_string("type"));
  if (type != "BPE") {
    return model.error(Errc::kUnsupported, "type", fmt::format("got '{}', allowed BPE", type));
  }
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    MINKE_ASSIGN(const std::string value, model.get_string_or(key, ""));
    if (!value.empty()) {
      return model.error(Errc::kUnsupported, key, fmt::format("got '{}', allowed none", value));
    }
  }
  for (const char* key : {"byte_fallback", "ignore_merges"}) {
    MINKE_ASSIGN(const bool value, model.get_bool_or(key, false));
    if (value) return model.error(Errc::kUnsupported, key, "got true, allowed false");
  }
  return {};
}

Status check_normalizer(const JsonFields& top) {
  const json* normalizer = top.find("normalizer");
  if (normalizer == nullptr) return {};
  const bool is_empty = normalizer->is_object() &&
                        normalizer->value("type", json()) == "Sequence" &&
                        normalizer->value("normalizers", json()) == json::array();
  if (is_empty) return {};
  return top.error(Errc::kUnsupported, "normalizer", "allowed none");
}

/// Whether the post-processor puts a token before every text.
bool template_begins_with_special(const JsonFields& top) {
  const json* post = top.find("post_processor");
  if (post == nullptr) return false;
  const auto begins = [](const json& step) {
    return step.is_object() && step.value("type", json()) == "TemplateProcessing" &&
           step.contains("single") && step["single"].is_array() && !step["single"].empty() &&
           step["single"].front().contains("SpecialToken");
  };
  if (begins(*post)) return true;
  if (!post->is_object() || !post->contains("processors")) return false;
  for (const json& step : (*post)["processors"]) {
    if (begins(step)) return true;
  }
  return false;
}

Status read_model(const std::filesystem::path& dir, const HfConfig& config, HfTokenizer& out) {
  MINKE_ASSIGN(const auto path, resolve_in(dir, "tokenizer.json"));
  MINKE_ASSIGN(const std::string text, read_text(path, kMaxTokenizerBytes));
  const std::string file = printable_path(path);
  MINKE_ASSIGN(const json document, parse_json(text, file));
  MINKE_ASSIGN(const JsonFields top, JsonFields::of(document, file));
  MINKE_ASSIGN(const JsonFields model, top.get_object("model"));
  MINKE_TRY(check_model(model));
  MINKE_TRY(check_normalizer(top));

  const json* vocab = model.find("vocab");
  const json* merges = model.find("merges");
  const json* splits = top.find("pre_tokenizer");
  if (vocab == nullptr) return model.error(Errc::kContent, "vocab", "is missing");
  if (merges == nullptr) return model.error(Errc::kContent, "merges", "is missing");
  if (splits == nullptr) return top.error(Errc::kContent, "pre_tokenizer", "is missing");
  MINKE_ASSIGN(out.pre, recognise_pretokenizer(*splits, file));
  VocabularyReader vocabulary(file, config.vocab_size, out);
  MINKE_TRY(vocabulary.read(*vocab, top.find("added_tokens")));
  MINKE_TRY(read_merges(*merges, vocabulary, file, out));
  out.add_bos = template_begins_with_special(top);
  return {};
}

/// The id of a token that tokenizer_config.json names by its text: "bos_token": "<s>", or an object
/// with "content".
Status read_named_token(const JsonFields& fields, const char* key, const HfTokenizer& tokenizer,
                        std::optional<int64_t>& id) {
  const json* value = fields.find(key);
  if (value == nullptr) return {};
  if (value->is_object()) value = value->contains("content") ? &(*value)["content"] : value;
  if (!value->is_string()) return fields.error(Errc::kContent, key, "not a token's text");
  const auto& text = value->get_ref<const std::string&>();
  for (size_t i = 0; i < tokenizer.tokens.size(); ++i) {
    if (tokenizer.tokens[i] != text) continue;
    id = static_cast<int64_t>(i);
    return {};
  }
  return fields.error(Errc::kContent, key,
                      fmt::format("'{}' is not in the vocabulary", shown(text)));
}

/// A template is a text, or a list of named ones of which "default" counts.
Status read_chat_template(const JsonFields& fields, std::string& out) {
  const json* value = fields.find("chat_template");
  if (value != nullptr && value->is_array()) {
    for (const json& entry : *value) {
      if (entry.is_object() && entry.value("name", json()) == "default" &&
          entry.contains("template")) {
        value = &entry["template"];
        break;
      }
    }
  }
  if (value == nullptr) return {};
  if (!value->is_string()) {
    return fields.error(Errc::kContent, "chat_template",
                        "neither a text nor a list with a default");
  }
  out = value->get<std::string>();
  return {};
}

Status read_tokenizer_config(const std::filesystem::path& dir, HfTokenizer& out) {
  constexpr const char* kName = "tokenizer_config.json";
  MINKE_ASSIGN(const auto text, read_text_if_there(dir, kName, kMaxConfigBytes));
  if (text) {
    const std::string file = printable_path(dir / kName);
    MINKE_ASSIGN(const json document, parse_json(*text, file));
    MINKE_ASSIGN(const JsonFields fields, JsonFields::of(document, file));
    MINKE_TRY(read_named_token(fields, "bos_token", out, out.bos_id));
    MINKE_TRY(read_named_token(fields, "eos_token", out, out.eos_id));
    MINKE_TRY(read_named_token(fields, "pad_token", out, out.pad_id));
    MINKE_ASSIGN(out.add_bos, fields.get_bool_or("add_bos_token", out.add_bos));
    MINKE_ASSIGN(out.add_eos, fields.get_bool_or("add_eos_token", false));
    MINKE_TRY(read_chat_template(fields, out.chat_template));
  }
  // Newer checkpoints keep the template in a file of its own, which then counts.
  MINKE_ASSIGN(auto own, read_text_if_there(dir, "chat_template.jinja", kMaxTemplateBytes));
  if (own) out.chat_template = std::move(*own);
  return {};
}

}  // namespace

Result<HfTokenizer> read_hf_tokenizer(const std::filesystem::path& dir, const HfConfig& config) {
  HfTokenizer tokenizer;
  MINKE_TRY(read_model(dir, config, tokenizer));
  tokenizer.bos_id = config.bos_id;
  tokenizer.eos_id = config.eos_id;
  tokenizer.pad_id = config.pad_id;
  MINKE_TRY(read_tokenizer_config(dir, tokenizer));
  for (const auto& id : {tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id}) {
    if (id && *id >= config.vocab_size) {
      return fail(Errc::kContent, "{}: token id {} of config.json is beyond the vocabulary of {}",
                  printable_path(dir), *id, config.vocab_size);
    }
  }
  return tokenizer;
}

}  // namespace minke::convert
