#include <algorithm>
#include <array>
#include <numeric>

#include "runtime/gguf_parser.h"
#include "runtime/utf8.h"

namespace minke::gguf {
namespace {

uint64_t align_up(uint64_t value, uint64_t alignment) noexcept {
  return (value + alignment - 1) / alignment * alignment;
}

}  // namespace

Status Parser::tensor_info(uint64_t number) {
  subject_ = {.kind = "tensor", .number = number};
  GgufTensor tensor;
  MINKE_TRY(name(tensor.name));
  subject_.name = tensor.name;
  const std::byte* shape_at = cursor_.here();
  MINKE_TRY(tensor_shape(tensor.desc));
  const std::byte* type_at = cursor_.here();
  uint32_t type = 0;
  MINKE_TRY(read(type, "the type"));
  MINKE_TRY(tensor_type_of(type, type_at, tensor.desc.dtype));
  Place place{};
  MINKE_TRY(tensor_size(tensor.desc, shape_at, place.size_bytes));
  MINKE_TRY(read(place.offset, "the offset"));
  out_.tensors.push_back(tensor);
  places_.push_back(place);
  return {};
}

/// Dimensions, row length first in the file and last in a Shape; their product fits int64_t.
Status Parser::tensor_shape(TensorDesc& desc) {
  const std::byte* at = cursor_.here();
  uint32_t n_dims = 0;
  MINKE_TRY(read(n_dims, "the number of dimensions"));
  if (n_dims == 0 || n_dims > Shape::kMaxRank) {
    return bad(at, fmt::format("bad number of dimensions (got {}, allowed 1 to {})", n_dims,
                               Shape::kMaxRank));
  }
  std::array<int64_t, Shape::kMaxRank> dims{};
  int64_t product = 1;
  for (uint32_t i = 0; i < n_dims; ++i) {
    at = cursor_.here();
    uint64_t dim = 0;
    MINKE_TRY(read(dim, "the dimensions"));
    if (dim == 0) return bad(at, fmt::format("dimension {} is zero (got 0, allowed 1 or more)", i));
    if (__builtin_mul_overflow(product, dim, &product)) {
      return bad(at,
                 fmt::format("dimension {} makes the tensor too large to count (got {})", i, dim));
    }
    dims[n_dims - 1 - i] = static_cast<int64_t>(dim);
  }
  desc.shape = Shape(std::span<const int64_t>(dims.data(), n_dims));
  return {};
}

Status Parser::tensor_type_of(uint32_t id, const void* at, DType& dtype) {
  const TensorTypeInfo info = tensor_type(id);
  switch (info.kind) {
    case TensorType::kReadable:
      dtype = static_cast<DType>(id);
      return {};
    case TensorType::kKnown: {
      Error error = content_error(
          out_.file, at, subject_.text(),
          fmt::format("Minke does not decode tensors of this type yet (got {} {}, allowed {})",
                      info.name, id, readable_tensor_types()));
      error.code = Errc::kUnsupported;
      return tl::unexpected(std::move(error));
    }
    case TensorType::kRemoved:
      return bad(at, fmt::format("a type that was removed from GGUF (got {} {}, allowed {})",
                                 info.name, id, readable_tensor_types()));
    case TensorType::kUndefined:
      break;
  }
  return bad(at, fmt::format("unknown type (got {}, allowed {})", id, readable_tensor_types()));
}

Status Parser::tensor_size(const TensorDesc& desc, const void* at, uint64_t& size) const {
  const FormatTraits& format = *find_format(desc.dtype);
  const auto row = static_cast<uint64_t>(desc.shape.cols());
  if (row % format.block_len != 0) {
    return bad(at, fmt::format("the row length is not whole blocks of {} (got {}, allowed a "
                               "multiple of {})",
                               format.name, row, format.block_len));
  }
  const uint64_t n_blocks = static_cast<uint64_t>(desc.shape.elements()) / format.block_len;
  if (__builtin_mul_overflow(n_blocks, format.block_bytes, &size)) {
    return bad(at, fmt::format("the tensor is too large to count (got {} blocks)", n_blocks));
  }
  return {};
}

Status Parser::check_tensor_names() {
  std::vector<std::string_view> names;
  names.reserve(out_.tensors.size());
  for (const GgufTensor& tensor : out_.tensors) names.push_back(tensor.name);
  NameIndex index;
  const size_t repeated = index.build(std::move(names));
  if (repeated == NameIndex::kNone) return {};
  subject_ = {"tensor", out_.tensors[repeated].name};
  return bad(subject_.name.data(), "a second tensor of this name (got 2, allowed 1)");
}

Status Parser::place_tensors() {
  const uint64_t file_bytes = out_.file.bytes().size();
  const uint64_t data_start = std::min(align_up(cursor_.at(), alignment_), file_bytes);
  const uint64_t data_bytes = file_bytes - data_start;
  for (size_t i = 0; i < places_.size(); ++i) {
    GgufTensor& tensor = out_.tensors[i];
    const Place& place = places_[i];
    subject_ = {"tensor", tensor.name};
    if (place.offset % alignment_ != 0) {
      return bad(tensor.name.data(), fmt::format("the offset of its data is not aligned (got {}, "
                                                 "allowed a multiple of {})",
                                                 place.offset, alignment_));
    }
    if (place.offset > data_bytes || place.size_bytes > data_bytes - place.offset) {
      return bad(tensor.name.data(),
                 fmt::format("its data lies beyond the end of the file, which may be cut off (got "
                             "{} bytes at {} of the data, allowed up to {})",
                             place.size_bytes, place.offset, data_bytes));
    }
    tensor.offset = data_start + place.offset;
    tensor.data = out_.file.bytes().subspan(tensor.offset, place.size_bytes);
  }
  return place_in_order(data_start, data_bytes);
}

/// The data section is the tensors' data, each padded to the alignment, and nothing else: any
/// overlap, hole or rest means that some number of the file is wrong.
Status Parser::place_in_order(uint64_t data_start, uint64_t data_bytes) {
  std::vector<uint32_t> order(places_.size());
  std::iota(order.begin(), order.end(), 0U);
  std::ranges::sort(order, {}, [this](uint32_t i) { return std::pair(places_[i].offset, i); });
  uint64_t expected = 0;
  std::string_view previous = "the start of the data";
  for (const uint32_t i : order) {
    const GgufTensor& tensor = out_.tensors[i];
    subject_ = {"tensor", tensor.name};
    if (places_[i].offset != expected) {
      const bool overlap = places_[i].offset < expected;
      return bad(tensor.name.data(),
                 fmt::format("its data {} '{}' (got offset {}, allowed {})",
                             overlap ? "overlaps that of" : "leaves a hole after",
                             printable(previous), places_[i].offset, expected));
    }
    expected = align_up(places_[i].offset + places_[i].size_bytes, alignment_);
    previous = tensor.name;
  }
  // Without tensors, the padding before the data may stand at the end or be missing.
  const uint64_t allowed = places_.empty() ? alignment_ : expected;
  if (data_bytes > allowed) {
    subject_ = {"data"};
    return bad(out_.file.bytes().data() + data_start + expected,
               fmt::format("the file goes on after the last tensor (got {} bytes of data, allowed "
                           "{})",
                           data_bytes, allowed));
  }
  return {};
}

}  // namespace minke::gguf
