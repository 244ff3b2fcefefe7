#include "convert/tensor_hashes.h"

#include <algorithm>

#include "runtime/gguf_writer.h"
#include "runtime/input_file.h"
#include "runtime/utf8.h"

namespace minke::convert {

Result<TensorHashes> tensor_hashes(const GgufFile& file) {
  const auto entries = file.entries();
  const auto entry = std::ranges::find(entries, GgufWriter::kHashesKey, &GgufFile::Entry::key);
  if (entry == entries.end()) return TensorHashes{};
  MINKE_ASSIGN(const std::string_view layout, file.get_string_or(kLayoutKey, ""));
  if (layout != layout_digest(file.tensors())) return TensorHashes{{}, true};
  const size_t n = file.tensors().size();
  const bool fits = entry->type == GgufType::kArray && entry->element_type == GgufType::kU8 &&
                    entry->count == n * sizeof(Sha256Digest);
  if (!fits) {
    return fail(Errc::kContent, "{}: key '{}': not {} bytes for each of {} tensors",
                printable_path(file.path()), GgufWriter::kHashesKey, sizeof(Sha256Digest), n);
  }
  return TensorHashes{{reinterpret_cast<const Sha256Digest*>(entry->encoded.data()), n}};
}

std::string changed_data_text(std::string_view name, const Sha256Digest& digest,
                              const Sha256Digest& stored) {
  return fmt::format("tensor '{}': its data changed after it was written (SHA-256 {}, allowed {})",
                     printable(name), to_hex(digest), to_hex(stored));
}

}  // namespace minke::convert
