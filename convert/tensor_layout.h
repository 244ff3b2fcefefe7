// What a file's hashes of tensors are of: names, types and shapes.
#pragma once

#include <fmt/format.h>

#include <span>
#include <string>
#include <string_view>

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

}  // namespace minke::convert
