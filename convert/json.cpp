#include "convert/json.h"

#include <cmath>
#include <limits>
#include <utility>

#include "runtime/utf8.h"

namespace minke::convert {
namespace {

using nlohmann::json;

/// Builds the document. The library's own builder keeps the last of two equal keys and any depth.
class Builder : public json::json_sax_t {
 public:
  explicit Builder(std::string_view file) : file_(file) {}

  bool null() override { return put(nullptr); }
  bool boolean(bool value) override { return put(value); }
  bool number_integer(number_integer_t value) override { return put(value); }
  bool number_unsigned(number_unsigned_t value) override { return put(value); }
  bool number_float(number_float_t value, const string_t&) override { return put(value); }
  bool string(string_t& value) override { return put(std::move(value)); }
  bool binary(binary_t&) override { return refuse("binary value"); }
  bool start_object(std::size_t) override { return open(json::object()); }
  bool start_array(std::size_t) override { return open(json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& value) override {
    key_ = std::move(value);
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const json::exception& what) override {
    return refuse(json_error_text(position, what.what()));
  }

  Result<json> take() && {
    if (!error_.empty()) return fail(Errc::kContent, "{}: {}", file_, error_);
    return std::move(root_);
  }

 private:
  bool refuse(std::string reason) {
    if (error_.empty()) error_ = std::move(reason);
    return false;
  }

  bool put(json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      last_ = &root_;
      return true;
    }
    json& parent = *open_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      last_ = &parent.back();
      return true;
    }
    const auto [place, is_new] = parent.emplace(key_, std::move(value));
    if (!is_new) return refuse(fmt::format("key '{}' stands twice in one object", printable(key_)));
    last_ = &*place;
    return true;
  }

  bool open(json container) {
    if (open_.size() >= static_cast<size_t>(kMaxJsonDepth)) {
      return refuse(fmt::format("nested deeper than {} levels", kMaxJsonDepth));
    }
    if (!put(std::move(container))) return false;
    open_.push_back(last_);
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  std::string_view file_;
  std::string error_;
  json root_;
  json* last_ = nullptr;
  std::vector<json*> open_;  // parents of an open container do not move while it is open
  std::string key_;
};

/// A reason quotes what a stranger's file says: it must stay one short line.
constexpr size_t kMaxReasonBytes = 240;

std::string preview(const json& value) {
  std::string text = value.dump(-1, ' ', true, json::error_handler_t::replace);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

}  // namespace

std::string json_error_text(size_t position, const std::string& what) {
  // "[json.exception.parse_error.101] parse error at line 1, column 2: syntax error ...; ..."
  std::string_view reason = what;
  if (const size_t at = reason.find("] "); at != std::string_view::npos) {
    reason.remove_prefix(at + 2);
  }
  return fmt::format("offset {:#x}: {}", position, printable(reason, kMaxReasonBytes));
}

Result<json> parse_json(std::string_view text, std::string_view file) {
  Builder builder(file);
  json::sax_parse(text.begin(), text.end(), &builder);
  return std::move(builder).take();
}

Result<JsonFields> JsonFields::of(const json& value, std::string file, std::string place) {
  if (!value.is_object()) {
    return fail(Errc::kContent, "{}: {}not an object (got {})", file,
                place.empty() ? "" : fmt::format("'{}': ", place), preview(value));
  }
  return JsonFields(value, std::move(file), std::move(place));
}

const json* JsonFields::find(const char* key) const {
  const auto it = value_->find(key);
  return it == value_->end() || it->is_null() ? nullptr : &*it;
}

tl::unexpected<Error> JsonFields::error(Errc code, const char* key,
                                        const std::string& reason) const {
  return fail(code, "{}: '{}{}{}': {}", file_, place_, place_.empty() ? "" : ".", key,
              printable(reason, kMaxReasonBytes));
}

Result<const json*> JsonFields::need(const char* key) const {
  const json* value = find(key);
  if (value == nullptr) return error(Errc::kContent, key, "is missing");
  return value;
}

Result<int64_t> JsonFields::get_int(const char* key, IntRange range) const {
  MINKE_ASSIGN(const json* value, need(key));
  // A number too large for 64 bits arrives as a float, so it fails here too.
  const bool fits =
      value->is_number_integer() && (!value->is_number_unsigned() ||
                                     value->get<uint64_t>() <= std::numeric_limits<int64_t>::max());
  if (!fits || !range.contains(value->get<int64_t>())) {
    return error(
        Errc::kContent, key,
        fmt::format("got {}, allowed an integer {} to {}", preview(*value), range.low, range.high));
  }
  return value->get<int64_t>();
}

Result<int64_t> JsonFields::get_int_or(const char* key, int64_t fallback, IntRange range) const {
  if (!has(key)) return fallback;
  return get_int(key, range);
}

Result<double> JsonFields::get_number(const char* key, NumberRange range) const {
  MINKE_ASSIGN(const json* value, need(key));
  const double number = value->is_number() ? value->get<double>() : NAN;
  if (!range.contains(number)) {
    return error(Errc::kContent, key,
                 fmt::format("got {}, allowed a number {:g} to {:g}", preview(*value), range.low,
                             range.high));
  }
  return number;
}

Result<double> JsonFields::get_number_or(const char* key, double fallback,
                                         NumberRange range) const {
  if (!has(key)) return fallback;
  return get_number(key, range);
}

Result<bool> JsonFields::get_bool_or(const char* key, bool fallback) const {
  const json* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) {
    return error(Errc::kContent, key,
                 fmt::format("got {}, allowed true or false", preview(*value)));
  }
  return value->get<bool>();
}

Result<std::string> JsonFields::get_string(const char* key) const {
  MINKE_ASSIGN(const json* value, need(key));
  if (!value->is_string()) {
    return error(Errc::kContent, key, fmt::format("got {}, allowed a text", preview(*value)));
  }
  return value->get<std::string>();
}

Result<std::string> JsonFields::get_string_or(const char* key, const char* fallback) const {
  if (!has(key)) return std::string(fallback);
  return get_string(key);
}

Result<JsonFields> JsonFields::get_object(const char* key) const {
  MINKE_ASSIGN(const json* value, need(key));
  return of(*value, file_, place_.empty() ? key : place_ + "." + key);
}

}  // namespace minke::convert
