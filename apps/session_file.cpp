#include "apps/session_file.h"

#include <xxhash.h>

#include <nlohmann/json.hpp>

#include "apps/text_input.h"
#include "convert/json.h"
#include "runtime/atomic_file.h"
#include "runtime/input_file.h"
#include "runtime/utf8.h"

namespace minke::apps {
namespace {

using nlohmann::json;

constexpr int kVersion = 1;
constexpr size_t kMaxSessionBytes = size_t{64} << 20;

std::string checksum(const std::string& text) {
  return fmt::format("{:016x}", XXH3_64bits(text.data(), text.size()));
}

json to_json(const ModelIdentity& model) {
  return {{"name", model.name},
          {"file_bytes", model.file_bytes},
          {"n_tensors", model.n_tensors},
          {"n_vocab", model.n_vocab},
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

/// Reads the parts of a session. nlohmann's typed accessors throw where a type is wrong; the caller
/// turns that into an error of the file.
SavedSession from_json(const json& content) {
  SavedSession session;
  const json& model = content.at("model");
  session.model = {.name = model.at("name").get<std::string>(),
                   .file_bytes = model.at("file_bytes").get<uint64_t>(),
                   .n_tensors = model.at("n_tensors").get<uint64_t>(),
                   .n_vocab = model.at("n_vocab").get<uint64_t>(),
                   .chat_template = model.at("chat_template").get<std::string>()};
  session.conversation.system = content.at("system").get<std::string>();
  for (const json& turn : content.at("turns"))
    session.conversation.turns.push_back({turn.at("user").get<std::string>(),
                                          turn.at("assistant").get<std::string>(),
                                          turn.at("tokens").get<std::vector<TokenId>>()});
  session.parameters = content.at("parameters").get<std::map<std::string, std::string>>();
  return session;
}

Status check_tokens(const SavedSession& session, const std::string& name) {
  const auto n_vocab = static_cast<int64_t>(session.model.n_vocab);
  for (const Turn& turn : session.conversation.turns)
    for (const TokenId id : turn.answer_tokens)
      if (id < 0 || id >= n_vocab)
        return fail(Errc::kContent, "{}: token {} is not in the vocabulary of {}", name, id,
                    n_vocab);
  return {};
}

}  // namespace

ModelIdentity identity_of(const Model& model, const ChatTemplate& chat_template) {
  const auto name = model.file().get_string_or("general.name", "");
  return {.name = name ? printable(*name) : "",
          .file_bytes = model.file().file_bytes(),
          .n_tensors = model.file().tensors().size(),
          .n_vocab = static_cast<uint64_t>(model.config().n_vocab),
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
  SavedSession session;
  try {
    if (content.at("version") != kVersion)
      return fail(Errc::kContent, "{}: version {} of the format is not known (known: {})", name,
                  printable(content.at("version").dump()), kVersion);
    session = from_json(content);
  } catch (const json::exception& error) {
    return fail(Errc::kContent, "{}: not a session of this format: {}", name,
                printable(error.what()));
  }
  if (session.model != model)
    return fail(Errc::kContent,
                "{}: the session belongs to another model: '{}', {} bytes, template {} (this is "
                "'{}', {} bytes, template {})",
                name, printable(session.model.name), session.model.file_bytes,
                printable(session.model.chat_template), model.name, model.file_bytes,
                model.chat_template);
  MINKE_TRY(check_tokens(session, name));
  return session;
}

}  // namespace minke::apps
