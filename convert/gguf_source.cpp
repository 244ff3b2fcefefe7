// A GGUF file as a conversion's source.
#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "convert/source.h"
#include "convert/source_hashes.h"
#include "convert/tensor_hashes.h"
#include "runtime/gguf_reader.h"
#include "runtime/utf8.h"

namespace minke::convert {
namespace {

constexpr uint32_t kQuantizationVersion = 2;
constexpr uint64_t kNoType = UINT32_MAX;

struct GgufStorage {
  GgufFile file;
  std::vector<InputFile> parts;
};

/// Keys that are written anew, or that no longer hold once the weights are others.
bool is_replaced(std::string_view key, const GgufModel& model) {
  static constexpr std::array<std::string_view, 7> kKeys = {
      "general.file_type",
      "general.quantization_version",
      "deepseek2.attention.head_count_kv",
      "deepseek2.attention.key_length",
      "deepseek2.attention.value_length",
      "deepseek2.attention.key_length_mla",
      "deepseek2.attention.value_length_mla",
  };
  if (model.n_groups_to_add > 0 && key.starts_with("deepseek2.expert_group_")) return true;
  return std::ranges::find(kKeys, key) != kKeys.end() || key.starts_with("quantize.imatrix.") ||
         key == SourceHashes::kKey || key == kLayoutKey;
}

void write_gguf_metadata(const GgufFile& file, const GgufModel& model, GgufWriter& writer) {
  for (const GgufFile::Entry& entry : file.entries()) {
    if (!is_replaced(entry.key, model)) writer.set_entry(entry);
  }
  const auto set = [&writer](std::string_view key, int64_t value) {
    writer.set_u32(key, static_cast<uint32_t>(value));
  };
  set("general.quantization_version", kQuantizationVersion);
  // One latent for all heads: to a reader, one key-value head of the latent's size.
  set("deepseek2.attention.head_count_kv", 1);
  set("deepseek2.attention.key_length", model.kv_lora_rank + model.qk_rope_dim);
  set("deepseek2.attention.value_length", model.kv_lora_rank);
  set("deepseek2.attention.key_length_mla", model.qk_nope_dim + model.qk_rope_dim);
  set("deepseek2.attention.value_length_mla", model.v_dim);
  if (model.n_groups_to_add == 0) return;
  set("deepseek2.expert_group_count", model.n_groups_to_add);
  set("deepseek2.expert_group_used_count", model.n_groups_used_to_add);
}

/// Of the file's own tensors, part by part.
Result<std::vector<StoredHash>> read_stored_hashes(const GgufStorage& storage) {
  MINKE_ASSIGN(const TensorHashes hashes, tensor_hashes(storage.file));
  std::vector<StoredHash> stored;
  for (size_t i = 0; i < hashes.digests.size(); ++i) {
    const GgufTensor& tensor = storage.file.tensors()[i];
    stored.push_back({&storage.parts[static_cast<size_t>(tensor.part)], tensor.offset,
                      tensor.data.size(), hashes.digests[i], tensor.name});
  }
  std::ranges::sort(stored, {}, [](const StoredHash& s) { return std::pair(s.file, s.begin); });
  return stored;
}

class GgufPlanner {
 public:
  GgufPlanner(const GgufStorage& storage, const GgufModel& model)
      : storage_(storage), model_(model) {}

  Result<std::vector<PlannedTensor>> plan() {
    constexpr std::string_view kOld = "attn_kv_b.weight";
    for (const GgufTensor& tensor : storage_.file.tensors()) {
      if (!tensor.name.ends_with(kOld)) {
        const SourceMatrix source{source_tensor(tensor), {}, 0, 0};
        add(std::string(tensor.name), tensor.desc, {{source, 0, tensor.desc.shape.rows(), false}});
        continue;
      }
      const std::string prefix(tensor.name.substr(0, tensor.name.size() - kOld.size()));
      // Where a file has attn_kv_b beside its two parts, the parts are enough.
      if (storage_.file.find_tensor(prefix + "attn_k_b.weight") != nullptr) continue;
      MINKE_TRY(split(tensor, prefix));
    }
    return std::move(planned_);
  }

 private:
  SourceTensor source_tensor(const GgufTensor& tensor) const {
    return {tensor.name, &storage_.parts[static_cast<size_t>(tensor.part)], tensor.offset,
            tensor.desc.shape, source_format(tensor.desc.dtype)};
  }

  /// attn_kv_b holds for each head its key rows, then its value rows.
  Status split(const GgufTensor& tensor, const std::string& prefix) {
    const GgufModel& m = model_;
    const int64_t head_rows = m.qk_nope_dim + m.v_dim;
    const Shape expected{m.n_heads * head_rows, m.kv_lora_rank};
    if (tensor.desc.shape != expected) {
      return fail(Errc::kShape,
                  "{}: tensor '{}': shape does not fit the metadata (got {}, allowed {})",
                  printable_path(storage_.file.path()), printable(tensor.name),
                  to_string(tensor.desc.shape), to_string(expected));
    }
    const SourceMatrix source{source_tensor(tensor), {}, 0, 0};
    std::vector<Slab> keys, values;
    for (int64_t head = 0; head < m.n_heads; ++head) {
      keys.push_back({source, head * head_rows, m.qk_nope_dim, true});
      values.push_back({source, head * head_rows + m.qk_nope_dim, m.v_dim, false});
    }
    // Blocks run along the rows: those of the transposed keys would be other ones.
    const DType dtype = tensor.desc.dtype;
    add(prefix + "attn_k_b.weight",
        {source.weights.format.is_quantized() ? DType::kF16 : dtype,
         Shape{m.n_heads, m.kv_lora_rank, m.qk_nope_dim}},
        std::move(keys));
    add(prefix + "attn_v_b.weight", {dtype, Shape{m.n_heads, m.v_dim, m.kv_lora_rank}},
        std::move(values));
    return {};
  }

  void add(std::string name, const TensorDesc& desc, std::vector<Slab> slabs) {
    planned_.push_back({std::move(name), desc, std::move(slabs)});
  }

  const GgufStorage& storage_;
  const GgufModel& model_;
  std::vector<PlannedTensor> planned_;
};

}  // namespace

Result<Source> open_gguf(const std::filesystem::path& path, const GgufModel& model) {
  MINKE_ASSIGN(GgufFile file, GgufFile::open(path));
  const auto storage = std::make_shared<GgufStorage>(GgufStorage{std::move(file), {}});
  uint64_t bytes = 0;
  // Weights are read, not mapped: a file that is cut short meanwhile gives an error, and mapped
  // pages would count as this program's memory.
  for (const auto& part : storage->file.part_paths()) {
    MINKE_ASSIGN(InputFile input, InputFile::open(part));
    bytes += input.size_bytes();
    storage->parts.push_back(std::move(input));
  }
  if (bytes != storage->file.file_bytes()) {
    return fail(Errc::kIo, "{}: the file was changed while it was read", printable_path(path));
  }
  Source source;
  source.path = path;
  source.n_layers = model.n_layers;
  MINKE_ASSIGN(source.tensors, GgufPlanner(*storage, model).plan());
  for (const InputFile& part : storage->parts) source.files.push_back(&part);
  MINKE_ASSIGN(source.stored_hashes, read_stored_hashes(*storage));
  MINKE_ASSIGN(const uint64_t file_type, storage->file.get_uint_or("general.file_type", kNoType));
  if (file_type < kNoType) source.file_type = static_cast<uint32_t>(file_type);
  source.write_metadata = [kept = storage.get(), model](GgufWriter& writer) {
    write_gguf_metadata(kept->file, model, writer);
  };
  source.storage = storage;
  return source;
}

}  // namespace minke::convert
