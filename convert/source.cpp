#include "convert/source.h"

#include <fmt/format.h>

#include "convert/checkpoint.h"
#include "convert/hf_config.h"
#include "convert/hf_tokenizer.h"
#include "convert/metadata.h"
#include "convert/pieces.h"

namespace minke::convert {
namespace {

struct CheckpointStorage {
  Checkpoint checkpoint;
  HfConfig config;
  HfGeneration generation;
  HfTokenizer tokenizer;
};

}  // namespace

uint64_t Source::tensor_bytes() const {
  uint64_t bytes = 0;
  for (const PlannedTensor& tensor : tensors) bytes += source_bytes(tensor);
  return bytes;
}

Status Source::check_unchanged() const {
  for (const InputFile* file : files) MINKE_TRY(file->check_unchanged());
  return {};
}

Result<Source> open_checkpoint(const std::filesystem::path& dir) {
  MINKE_ASSIGN(Checkpoint checkpoint, Checkpoint::open(dir));
  MINKE_ASSIGN(HfConfig config, read_hf_config(dir));
  MINKE_ASSIGN(HfGeneration generation, read_hf_generation(dir));
  MINKE_ASSIGN(HfTokenizer tokenizer, read_hf_tokenizer(dir, config));
  const auto storage = std::make_shared<const CheckpointStorage>(CheckpointStorage{
      std::move(checkpoint), std::move(config), generation, std::move(tokenizer)});

  Source source;
  source.path = dir;
  source.n_layers = storage->config.n_layers;
  MINKE_ASSIGN(source.tensors, plan_tensors(storage->checkpoint, storage->config));
  source.files = storage->checkpoint.files();
  for (const char* name : {"config.json", "generation_config.json", "model.safetensors.index.json",
                           "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"})
    source.other_files.push_back(dir / name);
  if (storage->tokenizer.chat_template.empty())
    source.warnings.push_back(
        fmt::format("{}: no chat template in tokenizer_config.json or chat_template.jinja: to chat "
                    "with the file, --chat-template or --chat-template-file must give one",
                    printable_path(dir)));
  source.write_metadata = [kept = storage.get()](GgufWriter& writer) {
    write_metadata(kept->config, kept->generation, kept->tokenizer, writer);
  };
  source.storage = storage;
  return source;
}

}  // namespace minke::convert
