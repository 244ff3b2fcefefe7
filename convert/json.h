// JSON from strangers: bounded depth, no key twice, typed fields with ranges.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/model_ranges.h"
#include "runtime/result.h"

namespace minke::convert {

inline constexpr int kMaxJsonDepth = 64;

/// Parses a whole text. `file` names it in errors. Errors: kContent ("FILE: offset 0x..: reason"),
/// also for a key that an object holds twice and for nesting deeper than kMaxJsonDepth.
Result<nlohmann::json> parse_json(std::string_view text, std::string_view file);

/// "offset 0x1f: ..." of a parser's own message, without the library's prefixes.
std::string json_error_text(size_t position, const std::string& what);

/// The fields of a JSON object, with checks. Holds a view of the value: keep it alive. A field that
/// is null counts as absent. Errors: kContent ("FILE: 'key': reason (got .., allowed ..)").
class JsonFields {
 public:
  /// `place` is the path of the object inside the file, "" for the top ("rope_scaling").
  static Result<JsonFields> of(const nlohmann::json& value, std::string file,
                               std::string place = "");

  bool has(const char* key) const { return find(key) != nullptr; }
  const nlohmann::json* find(const char* key) const;

  Result<int64_t> get_int(const char* key, IntRange range) const;
  Result<int64_t> get_int_or(const char* key, int64_t fallback, IntRange range) const;
  /// An integer or a fraction, finite.
  Result<double> get_number(const char* key, NumberRange range) const;
  Result<double> get_number_or(const char* key, double fallback, NumberRange range) const;
  Result<bool> get_bool_or(const char* key, bool fallback) const;
  Result<std::string> get_string(const char* key) const;
  Result<std::string> get_string_or(const char* key, const char* fallback) const;
  Result<JsonFields> get_object(const char* key) const;

  /// An error about a field, in the form that all errors of this class have.
  tl::unexpected<Error> error(Errc code, const char* key, const std::string& reason) const;
  const std::string& file() const { return file_; }

 private:
  JsonFields(const nlohmann::json& value, std::string file, std::string place)
      : value_(&value), file_(std::move(file)), place_(std::move(place)) {}
  Result<const nlohmann::json*> need(const char* key) const;

  const nlohmann::json* value_;
  std::string file_;
  std::string place_;
};

}  // namespace minke::convert
