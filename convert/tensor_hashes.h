// The SHA-256 of each tensor that a file of ours holds, and what tells whether they still belong to
// these tensors.
#pragma once

#include <fmt/format.h>

#include <span>
#include <string>
#include <string_view>

#include "runtime/gguf_reader.h"
#include "runtime/result.h"
#include "runtime/sha256.h"
#include "runtime/tensor.h"

namespace minke::convert {

/// The key that holds layout_digest() of the file's tensors. Programs that store a file's weights
/// in other types copy the keys that they do not know, also GgufWriter::kHashesKey: where this one
/// no longer fits, the hashes are those of the file it was made from.
constexpr std::string_view kLayoutKey = "minke.tensor_layout_sha256";

/// SHA-256 in hexadecimal digits of a line for each tensor, in the order of the file. Elements of
/// `tensors` have a name and a desc.
template <class Tensors>
std::string layout_digest(const Tensors& tensors) {
  Sha256 hash;
  for (const auto& tensor : tensors) {
    const std::string line = fmt::format("{} {} {}\n", tensor.name, dtype_name(tensor.desc.dtype),
                                         to_string(tensor.desc.shape));
    hash.update(std::as_bytes(std::span(line)));
  }
  return to_hex(hash.finish());
}

/// The hashes of a file.
struct TensorHashes {
  std::span<const Sha256Digest> digests;  ///< One a tensor, in the file's order and mapping.
  bool are_old = false;                   ///< There are some, of other names, types or shapes.
};
/// No digests where the file has none, or old ones. Errors: kContent (they do not fit the tensors).
Result<TensorHashes> tensor_hashes(const GgufFile& file);

/// "tensor 'x': ..", of data whose digest is not the stored one.
std::string changed_data_text(std::string_view name, const Sha256Digest& digest,
                              const Sha256Digest& stored);

}  // namespace minke::convert
