// Saved conversations: one JSON file, with a checksum and the identity of its model.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "apps/conversation.h"
#include "models/model.h"

namespace minke::apps {

/// What tells one model file from another without reading it all.
struct ModelIdentity {
  std::string name;
  int64_t file_bytes = 0;
  int64_t n_vocab = 0;
  std::string fingerprint;    ///< Hash of the metadata, the tensors' descriptions and some weights.
  std::string chat_template;  ///< ChatTemplate::name()

  bool operator==(const ModelIdentity&) const = default;
};

ModelIdentity identity_of(const Model& model, const ChatTemplate& chat_template);

struct SavedSession {
  ModelIdentity model;
  Conversation conversation;
  std::map<std::string, std::string> parameters;  ///< Name and value, as /set parameter takes them.
};

/// Appears whole or not at all. Errors: those of AtomicFile.
Status save_session(const std::filesystem::path& path, const SavedSession& session);

/// Errors: kMissing, kIo, kContent (no session, a wrong checksum, another model, a value of the
/// wrong type or out of range, with its place).
Result<SavedSession> load_session(const std::filesystem::path& path, const ModelIdentity& model);

}  // namespace minke::apps
