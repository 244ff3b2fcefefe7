#include "convert/safetensors_header.h"

#include <limits>
#include <set>
#include <utility>

#include "convert/json.h"
#include "runtime/utf8.h"

namespace minke::convert {
namespace {

using nlohmann::json;

constexpr std::string_view kMetadataKey = "__metadata__";
constexpr uint64_t kMaxNameBytes = 1024;

/// Takes {"NAME": {"dtype": text, "shape": [n, ..], "data_offsets": [begin, end]}, ..,
/// "__metadata__": {text: text}} and nothing else.
class HeaderParser : public json::json_sax_t {
 public:
  explicit HeaderParser(const std::string& file) : file_(file) {}

  bool null() override { return unexpected("null"); }
  bool boolean(bool) override { return unexpected("true or false"); }
  bool number_integer(number_integer_t value) override {
    return value < 0 ? refuse(fmt::format("a negative number (got {})", value))
                     : number_unsigned(static_cast<uint64_t>(value));
  }
  bool number_unsigned(number_unsigned_t value) override;
  bool number_float(number_float_t, const string_t& text) override {
    return refuse(fmt::format("a number that is not a 64-bit integer (got {})", text));
  }
  bool string(string_t& value) override;
  bool binary(binary_t&) override { return unexpected("binary data"); }
  bool start_object(std::size_t) override;
  bool end_object() override;
  bool key(string_t& value) override;
  bool start_array(std::size_t) override;
  bool end_array() override;
  bool parse_error(std::size_t position, const std::string&, const json::exception& what) override {
    // The header begins after the 8 bytes of its length.
    if (error_.empty()) error_ = json_error_text(position + 8, what.what());
    return false;
  }

  Result<std::vector<SafeTensor>> take() && {
    if (!error_.empty()) return fail(Errc::kContent, "{}: {}", file_, error_);
    return std::move(tensors_);
  }

 private:
  enum class Where { kStart, kTop, kMetadata, kTensor, kShape, kOffsets };
  enum Field : unsigned { kNone = 0, kDtype = 1, kShape = 2, kOffsets = 4, kAll = 7 };

  bool refuse(const std::string& reason) {
    if (error_.empty()) {
      const bool in_tensor = where_ >= Where::kTensor;
      error_ = in_tensor ? fmt::format("tensor '{}': {}", printable(tensor_.name), reason)
                         : fmt::format("header: {}", reason);
    }
    return false;
  }
  bool unexpected(std::string_view what) { return refuse(fmt::format("{} out of place", what)); }

  const std::string& file_;
  std::string error_;
  std::vector<SafeTensor> tensors_;
  Where where_ = Where::kStart;
  std::set<std::string> metadata_keys_;
  bool has_metadata_ = false;
  bool next_is_metadata_ = false;
  SafeTensor tensor_;
  unsigned seen_ = kNone;
  Field field_ = kNone;
  std::vector<int64_t> dims_;
  std::vector<uint64_t> offsets_;
};

bool HeaderParser::number_unsigned(number_unsigned_t value) {
  if (where_ == Where::kOffsets) {
    if (offsets_.size() == 2) return refuse("data_offsets has more than two numbers");
    offsets_.push_back(value);
    return true;
  }
  if (where_ != Where::kShape) return unexpected("a number");
  if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    return refuse(fmt::format("dimension too large (got {})", value));
  }
  if (dims_.size() == Shape::kMaxRank) {
    return refuse(fmt::format("more than {} dimensions", Shape::kMaxRank));
  }
  dims_.push_back(static_cast<int64_t>(value));
  return true;
}

bool HeaderParser::string(string_t& value) {
  if (where_ == Where::kMetadata) return true;
  if (where_ != Where::kTensor || field_ != kDtype) return unexpected("a text");
  const SourceType* type = find_source_type(value);
  if (type == nullptr) return refuse(fmt::format("unknown dtype '{}'", printable(value)));
  tensor_.type = *type;
  return true;
}

bool HeaderParser::start_object(std::size_t) {
  if (where_ == Where::kStart) {
    where_ = Where::kTop;
    return true;
  }
  if (where_ != Where::kTop) return unexpected("an object");
  where_ = next_is_metadata_ ? Where::kMetadata : Where::kTensor;
  seen_ = kNone;
  return true;
}

bool HeaderParser::end_object() {
  if (where_ == Where::kTensor) {
    if (seen_ != kAll) return refuse("dtype, shape or data_offsets is missing");
    tensor_.shape = Shape(std::span<const int64_t>(dims_));
    tensors_.push_back(std::move(tensor_));
    tensor_ = SafeTensor();
  }
  where_ = Where::kTop;
  return true;
}

bool HeaderParser::key(string_t& value) {
  if (where_ == Where::kMetadata) {
    return metadata_keys_.insert(value).second ||
           refuse(fmt::format("metadata key '{}' stands twice", printable(value)));
  }
  if (where_ == Where::kTop) {
    next_is_metadata_ = value == kMetadataKey;
    if (next_is_metadata_) {
      return !std::exchange(has_metadata_, true) || refuse("__metadata__ stands twice");
    }
    if (value.empty() || value.size() > kMaxNameBytes || value.find('\0') != std::string::npos) {
      return refuse(fmt::format("tensor name of {} bytes, or with a NUL", value.size()));
    }
    tensor_.name = std::move(value);
    return true;
  }
  field_ = value == "dtype"          ? kDtype
           : value == "shape"        ? kShape
           : value == "data_offsets" ? kOffsets
                                     : kNone;
  if (field_ == kNone) return refuse(fmt::format("unknown field '{}'", printable(value)));
  if ((seen_ & field_) != 0) return refuse(fmt::format("'{}' stands twice", value));
  seen_ |= field_;
  return true;
}

bool HeaderParser::start_array(std::size_t) {
  if (where_ != Where::kTensor || (field_ != kShape && field_ != kOffsets)) {
    return unexpected("an array");
  }
  where_ = field_ == kShape ? Where::kShape : Where::kOffsets;
  (field_ == kShape ? static_cast<void>(dims_.clear()) : offsets_.clear());
  return true;
}

bool HeaderParser::end_array() {
  if (where_ == Where::kOffsets) {
    if (offsets_.size() != 2) return refuse("data_offsets has less than two numbers");
    tensor_.begin = offsets_[0];
    tensor_.end = offsets_[1];
  }
  where_ = Where::kTensor;
  return true;
}

}  // namespace

Result<std::vector<SafeTensor>> parse_safetensors_header(std::string_view text,
                                                         const std::string& file) {
  if (!text.starts_with('{')) {
    return fail(Errc::kContent, "{}: offset 0x8: the header does not begin with '{{'", file);
  }
  // The format lets spaces follow the JSON (they align the data); the parser does too.
  HeaderParser parser(file);
  json::sax_parse(text.begin(), text.end(), &parser);
  return std::move(parser).take();
}

}  // namespace minke::convert
