#include "convert/checkpoint.h"

#include <algorithm>
#include <limits>
#include <set>
#include <system_error>
#include <unordered_set>

#include "convert/file_text.h"
#include "convert/json.h"
#include "runtime/input_file.h"
#include "runtime/utf8.h"

namespace minke::convert {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSingleName = "model.safetensors";
constexpr const char* kIndexName = "model.safetensors.index.json";
constexpr size_t kMaxIndexBytes = 64 << 20;

Result<std::vector<std::string>> safetensors_names(const fs::path& dir) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(dir, error), end; !error && it != end; it.increment(error)) {
    std::string name = it->path().filename().string();
    if (name.ends_with(".safetensors")) names.push_back(std::move(name));
  }
  if (error) return fail(Errc::kIo, "{}: {}", printable_path(dir), error.message());
  std::ranges::sort(names);
  return names;
}

}  // namespace

Result<Checkpoint> Checkpoint::open(const fs::path& dir) {
  std::error_code error;
  const fs::file_status status = fs::status(dir, error);
  if (status.type() == fs::file_type::not_found) {
    return fail(Errc::kMissing, "{}: no such directory", printable_path(dir));
  }
  if (error) return fail(Errc::kIo, "{}: {}", printable_path(dir), error.message());
  if (status.type() != fs::file_type::directory) {
    return fail(Errc::kUsage, "{}: not a directory (give the directory that holds config.json)",
                printable_path(dir));
  }
  Checkpoint checkpoint(dir);
  MINKE_ASSIGN(auto index, read_text_if_there(dir, kIndexName, kMaxIndexBytes));
  MINKE_TRY(index ? checkpoint.open_indexed(*index) : checkpoint.open_single());
  return checkpoint;
}

const CheckpointTensor* Checkpoint::find(std::string_view name) const {
  const auto it = tensors_.find(name);
  return it == tensors_.end() ? nullptr : &it->second;
}

std::vector<const InputFile*> Checkpoint::files() const {
  std::vector<const InputFile*> files;
  for (const auto& file : files_) files.push_back(&file->file());
  return files;
}

Status Checkpoint::add_file(const std::string& name) {
  MINKE_ASSIGN(const fs::path path, resolve_in(dir_, name));
  MINKE_ASSIGN(SafetensorsFile opened, SafetensorsFile::open(path));
  files_.push_back(std::make_unique<SafetensorsFile>(std::move(opened)));
  const SafetensorsFile& file = *files_.back();
  for (const SafeTensor& tensor : file.tensors()) {
    const auto [it, is_new] = tensors_.emplace(tensor.name, CheckpointTensor{&file, &tensor});
    if (!is_new) {
      return fail(Errc::kContent, "{}: tensor '{}': stands in {} too", printable_path(path),
                  printable(tensor.name), it->second.file->path().filename().string());
    }
    tensor_bytes_ += tensor.end - tensor.begin;
  }
  return {};
}

Status Checkpoint::open_single() {
  MINKE_ASSIGN(const auto names, safetensors_names(dir_));
  if (names.empty()) {
    return fail(Errc::kMissing, "{}: no {} and no {} (only safetensors weights are read)",
                printable_path(dir_), kSingleName, kIndexName);
  }
  if (names.size() > 1) {
    return fail(Errc::kMissing, "{}: {} .safetensors files, but no {} that says what is in them",
                printable_path(dir_), names.size(), kIndexName);
  }
  return add_file(names.front());
}

Status Checkpoint::open_indexed(std::string_view text) {
  const std::string place = printable_path(dir_ / kIndexName);
  MINKE_ASSIGN(const nlohmann::json document, parse_json(text, place));
  MINKE_ASSIGN(const JsonFields top, JsonFields::of(document, place));
  const nlohmann::json* weight_map = top.find("weight_map");
  if (weight_map == nullptr || !weight_map->is_object() || weight_map->empty()) {
    return top.error(Errc::kContent, "weight_map", "is missing, or not an object of file names");
  }
  std::set<std::string> shards;
  for (const auto& [name, file] : weight_map->items()) {
    if (!file.is_string()) {
      return top.error(Errc::kContent, "weight_map", "tensor '" + name + "': not a file name");
    }
    shards.insert(file.get<std::string>());
  }
  for (const std::string& shard : shards) MINKE_TRY(add_file(shard));

  for (const auto& [name, file] : weight_map->items()) {
    const CheckpointTensor* entry = find(name);
    const auto& listed = file.get_ref<const std::string&>();
    if (entry == nullptr || entry->file->path().filename() != listed) {
      return fail(Errc::kContent, "{}: tensor '{}': listed in {}, but not there", place,
                  printable(name), printable(listed));
    }
  }
  for (const auto& [name, entry] : tensors_) {
    if (!weight_map->contains(std::string(name))) {
      return fail(Errc::kContent, "{}: tensor '{}': not listed in {}",
                  printable_path(entry.file->path()), printable(name), kIndexName);
    }
  }
  if (top.has("metadata")) {
    MINKE_ASSIGN(const JsonFields metadata, top.get_object("metadata"));
    MINKE_ASSIGN(const int64_t total,
                 metadata.get_int_or("total_size", static_cast<int64_t>(tensor_bytes_),
                                     {0, std::numeric_limits<int64_t>::max()}));
    if (static_cast<uint64_t>(total) != tensor_bytes_) {
      return metadata.error(
          Errc::kContent, "total_size",
          fmt::format("got {}, but the tensors have {} bytes", total, tensor_bytes_));
    }
  }
  return {};
}

}  // namespace minke::convert
