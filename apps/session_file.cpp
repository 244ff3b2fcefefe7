#include "apps/session_file.h"

#include <xxhash.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "apps/hash64.h"
#include "apps/text_input.h"
#include "convert/json.h"
#include "runtime/atomic_file.h"
#include "runtime/input_file.h"
#include "runtime/utf8.h"

namespace minke::apps {
namespace {

using nlohmann::json;

constexpr int kVersion = 2;
constexpr size_t kMaxSessionBytes = size_t{64} << 20;

using convert::JsonFields;

std::string hex(uint64_t hash) { return fmt::format("{:016x}", hash); }
std::string checksum(const std::string& text) { return hex(XXH3_64bits(text.data(), text.size())); }

/// What tells models apart that have the same name and size: all metadata (with the tokenizer and
/// the chat template), what tensors there are, and the values of one that training always changes.
std::string fingerprint_of(const GgufFile& file) {
  Hash64 hash;
  for (const GgufFile::Entry& entry : file.entries()) {
    hash.update(std::as_bytes(std::span(entry.key)));
    hash.update(std::as_bytes(std::span(&entry.type, 1)));
    hash.update(std::as_bytes(std::span(entry.encoded)));
  }
  for (const GgufTensor& tensor : file.tensors()) {
    const std::string text = fmt::format("{} {} {};", tensor.name, dtype_name(tensor.desc.dtype),
                                         to_string(tensor.desc.shape));
    hash.update(std::as_bytes(std::span(text)));
  }
  if (const GgufTensor* norm = file.find_tensor("output_norm.weight"); norm != nullptr)
    hash.update(norm->data);
  return hex(hash.digest());
}

json to_json(const ModelIdentity& model) {
  return {{"name", model.name},
          {"file_bytes", model.file_bytes},
          {"n_vocab", model.n_vocab},
          {"fingerprint", model.fingerprint},
          {"chat_template", model.chat_template}};
}

json to_json(const SavedSession& session) {
  json turns = json::array();
  for (const Turn& turn : session.conversation.turns)
    turns.push_back(
        {{"user", turn.user}, {"assistant", turn.answer}, {"tokens", turn.answer_tokens}});
  return {{"version", kVersion},
          {"model", to_json(session.model)},
          {"system", session.conversation.system},
          {"turns", std::move(turns)},
          {"parameters", session.parameters}};
}

Result<ModelIdentity> read_identity(const JsonFields& fields) {
  ModelIdentity model;
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  MINKE_ASSIGN(model.name, fields.get_string("name"));
  MINKE_ASSIGN(model.file_bytes, fields.get_int("file_bytes", {0, kMax}));
  MINKE_ASSIGN(model.n_vocab, fields.get_int("n_vocab", ranges::kVocab));
  MINKE_ASSIGN(model.fingerprint, fields.get_string("fingerprint"));
  MINKE_ASSIGN(model.chat_template, fields.get_string("chat_template"));
  return model;
}

Result<const json*> find_array(const JsonFields& fields, const char* key) {
  const json* array = fields.find(key);
  if (array == nullptr || !array->is_array())
    return fields.error(Errc::kContent, key, "must be a list");
  return array;
}

Result<Turn> read_turn(const JsonFields& fields, int64_t n_vocab) {
  Turn turn;
  MINKE_ASSIGN(turn.user, fields.get_string("user"));
  MINKE_ASSIGN(turn.answer, fields.get_string("assistant"));
  MINKE_ASSIGN(const json* tokens, find_array(fields, "tokens"));
  for (const json& id : *tokens) {
    // A number beyond 64 bits has arrived as a float.
    const bool known = id.is_number_integer() && id >= 0 && id < n_vocab;
    if (!known)
      return fields.error(
          Errc::kContent, "tokens",
          fmt::format("token {} is not in the vocabulary of {}", id.dump(), n_vocab));
    turn.answer_tokens.push_back(id.get<TokenId>());
  }
  return turn;
}

Result<Conversation> read_conversation(const JsonFields& fields, int64_t n_vocab) {
  Conversation conversation;
  MINKE_ASSIGN(conversation.system, fields.get_string("system"));
  MINKE_ASSIGN(const json* turns, find_array(fields, "turns"));
  for (const json& turn : *turns) {
    const std::string place = fmt::format("turns[{}]", conversation.turns.size());
    MINKE_ASSIGN(const JsonFields turn_fields, JsonFields::of(turn, fields.file(), place));
    MINKE_ASSIGN(Turn read, read_turn(turn_fields, n_vocab));
    conversation.turns.push_back(std::move(read));
  }
  return conversation;
}

Result<std::map<std::string, std::string>> read_parameters(const JsonFields& fields) {
  std::map<std::string, std::string> parameters;
  MINKE_ASSIGN(const JsonFields texts, fields.get_object("parameters"));
  for (const auto& [name, value] : fields.find("parameters")->items()) {
    MINKE_ASSIGN(parameters[name], texts.get_string(name.c_str()));
  }
  return parameters;
}

Result<SavedSession> read_session(const JsonFields& fields, const ModelIdentity& model) {
  SavedSession session;
  MINKE_ASSIGN(const JsonFields identity, fields.get_object("model"));
  MINKE_ASSIGN(session.model, read_identity(identity));
  if (session.model != model) {
    const auto text = [](const ModelIdentity& m) {
      return fmt::format("'{}', {} bytes, template {}, fingerprint {}", printable(m.name),
                         m.file_bytes, printable(m.chat_template), printable(m.fingerprint));
    };
    return fail(Errc::kContent, "{}: the session belongs to another model: {} (this is {})",
                fields.file(), text(session.model), text(model));
  }
  MINKE_ASSIGN(session.conversation, read_conversation(fields, model.n_vocab));
  MINKE_ASSIGN(session.parameters, read_parameters(fields));
  return session;
}

}  // namespace

ModelIdentity identity_of(const Model& model, const ChatTemplate& chat_template) {
  const auto name = model.file().get_string_or("general.name", "");
  return {.name = name ? printable(*name) : "",
          .file_bytes = static_cast<int64_t>(model.file().file_bytes()),
          .n_vocab = model.config().n_vocab,
          .fingerprint = fingerprint_of(model.file()),
          .chat_template = std::string(chat_template.name())};
}

Status save_session(const std::filesystem::path& path, const SavedSession& session) {
  const json content = to_json(session);
  const json file = {{"minke_session", content}, {"checksum", checksum(content.dump())}};
  MINKE_ASSIGN(AtomicFile out, AtomicFile::create(path));
  MINKE_TRY(out.write(file.dump(1) + "\n"));
  return out.commit();
}

Result<SavedSession> load_session(const std::filesystem::path& path, const ModelIdentity& model) {
  const std::string name = printable_path(path);
  MINKE_ASSIGN(const std::string text, read_bytes(path, kMaxSessionBytes));
  MINKE_ASSIGN(const json file, convert::parse_json(text, name));
  if (!file.is_object() || !file.contains("minke_session") || !file.contains("checksum"))
    return fail(Errc::kContent, "{}: this is no saved session", name);
  const json& content = file["minke_session"];
  if (file["checksum"] != checksum(content.dump()))
    return fail(Errc::kContent, "{}: the checksum is wrong: the file was changed or damaged", name);
  MINKE_ASSIGN(const JsonFields fields, JsonFields::of(content, name));
  if (!content.contains("version") || content["version"] != kVersion)
    return fail(Errc::kContent, "{}: version {} of the format is not known (known: {})", name,
                content.contains("version") ? printable(content["version"].dump()) : "none",
                kVersion);
  return read_session(fields, model);
}

}  // namespace minke::apps
