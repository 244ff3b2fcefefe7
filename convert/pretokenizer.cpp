#include "convert/pretokenizer.h"

#include <algorithm>
#include <array>
#include <span>
#include <string_view>
#include <vector>

namespace minke::convert {
namespace {

using nlohmann::json;

/// The cased letters that deepseek-llm's second split takes, as a class of ranges. Written with
/// escapes: a tool that normalises Unicode would turn U+1F7D, U+1FD3, U+1FDB, U+1FBE, U+2126 and
/// U+212A into other letters, and has done so in the wild (see same_pattern).
constexpr std::string_view kCasedLetters =
    "\\s?["
    "A-Za-z\u00B5\u00C0-\u00D6\u00D8-\u00F6\u00F8-\u01BA\u01BC-\u01BF\u01C4-\u0293\u0295-\u02AF"
    "\u0370-\u0373\u0376\u0377\u037B-\u037D\u037F\u0386\u0388-\u038A\u038C\u038E-\u03A1"
    "\u03A3-\u03F5\u03F7-\u0481\u048A-\u052F\u0531-\u0556\u10A0-\u10C5\u13A0-\u13F5"
    "\u13F8-\u13FD\u1C90-\u1CBA\u1CBD-\u1CBF\u1D00-\u1D2B\u1D6B-\u1D77\u1D79-\u1D9A"
    "\u1E00-\u1F15\u1F18-\u1F1D\u1F20-\u1F45\u1F48-\u1F4D\u1F50-\u1F57\u1F59\u1F5B\u1F5D"
    "\u1F5F-\u1F7D\u1F80-\u1FB4\u1FB6-\u1FBC\u1FBE\u1FC2-\u1FC4\u1FC6-\u1FCC\u1FD0-\u1FD3"
    "\u1FD6-\u1FDB\u1FE0-\u1FEC\u1FF2-\u1FF4\u1FF6-\u1FFC\u2102\u2107\u210A-\u2113\u2115"
    "\u2119-\u211D\u2124\u2126\u2128\u212A-\u212D\u212F-\u2134\u2139\u213C-\u213F\u2145-\u2149"
    "\u214E\u2183\u2184\u2C00-\u2C7B\u2C7E-\u2CE4\u2CEB-\u2CEE\u2CF2\u2CF3\uA640-\uA66D"
    "\uA680-\uA69B\uA722-\uA76F\uA771-\uA787\uA78B-\uA78E\uAB70-\uABBF\uFB00-\uFB06"
    "\uFB13-\uFB17\uFF21-\uFF3A\uFF41-\uFF5A\U00010400-\U0001044F\U000104B0-\U000104D3"
    "\U000104D8-\U000104FB\U00010C80-\U00010CB2\U00010CC0-\U00010CF2\U000118A0-\U000118DF"
    "\U0001E900-\U0001E943"
    "]+";

constexpr std::string_view kPunctuation =
    "\\s?[!-/:-~\uFF01-\uFF0F\uFF1A-\uFF5E\u2018-\u201F\u3000-\u3002]+";
constexpr std::string_view kV3Words =
    "[!\"#$%&'()*+,\\-./"
    ":;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|"
    " ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+";
constexpr std::string_view kDigits = "\\p{N}";

constexpr std::array kDeepseekLlm = {
    std::string_view("[\r\n]"),
    kCasedLetters,
    kPunctuation,
    std::string_view("\\s+$"),
    std::string_view("[\u4E00-\u9FA5\u0800-\u4E00\uAC00-\uD7FF]+"),
    kDigits,
};
constexpr std::array kDeepseekV3 = {
    std::string_view("\\p{N}{1,3}"),
    std::string_view("[\u4E00-\u9FA5\u3040-\u309F\u30A0-\u30FF]+"),
    kV3Words,
};

struct Known {
  const char* name;
  std::span<const std::string_view> splits;
};
constexpr std::array kKnown = {Known{"deepseek-llm", kDeepseekLlm},
                               Known{"deepseek-v3", kDeepseekV3}};

/// Letters that Unicode normalisation replaces by their twin, and escapes that mean one character.
std::string fold(std::string_view pattern) {
  struct Twin {
    std::string_view from, to;
  };
  constexpr std::array kTwins = {Twin{"\u1F7D", "\u03CE"}, Twin{"\u1FD3", "\u0390"},
                                 Twin{"\u1FDB", "\u038A"}, Twin{"\u1FBE", "\u03B9"},
                                 Twin{"\u2126", "\u03A9"}, Twin{"\u212A", "K"},
                                 Twin{"\\r", "\r"},        Twin{"\\n", "\n"}};
  std::string folded(pattern);
  for (const auto& [from, to] : kTwins) {
    for (size_t at = 0; (at = folded.find(from, at)) != std::string::npos;) {
      folded.replace(at, from.size(), to);
    }
  }
  return folded;
}

bool same_pattern(std::string_view a, std::string_view b) { return a == b || fold(a) == fold(b); }

bool has(const json& object, const char* key, const json& value) {
  return object.is_object() && object.contains(key) && object[key] == value;
}

/// The pattern of a step that isolates its matches; empty for any other step.
std::string split_pattern(const json& step) {
  if (has(step, "type", "Digits") && has(step, "individual_digits", true)) {
    return std::string(kDigits);
  }
  const bool isolates = has(step, "type", "Split") && has(step, "behavior", "Isolated") &&
                        (has(step, "invert", false) || !step.contains("invert"));
  if (!isolates || !step.contains("pattern") || !step["pattern"].is_object()) return {};
  const json& pattern = step["pattern"];
  if (!pattern.contains("Regex") || !pattern["Regex"].is_string()) return {};
  return pattern["Regex"].get<std::string>();
}

/// The last step: bytes become letters, nothing else happens.
bool is_byte_level(const json& step) {
  return has(step, "type", "ByteLevel") && has(step, "add_prefix_space", false) &&
         has(step, "use_regex", false);
}

/// How many steps from the first agree.
size_t n_matching(const json& steps, const Known& known) {
  const size_t n = std::min(steps.size(), known.splits.size());
  for (size_t i = 0; i < n; ++i) {
    if (!same_pattern(split_pattern(steps[i]), known.splits[i])) return i;
  }
  return n;
}

}  // namespace

Result<std::string> recognise_pretokenizer(const json& pre_tokenizer, const std::string& file) {
  const bool is_list = has(pre_tokenizer, "type", "Sequence") &&
                       pre_tokenizer.contains("pretokenizers") &&
                       pre_tokenizer["pretokenizers"].is_array();
  if (!is_list) {
    return fail(Errc::kUnsupported,
                "{}: 'pre_tokenizer': not a sequence of splits (allowed those of deepseek-llm and "
                "deepseek-v3)",
                file);
  }
  const json& steps = pre_tokenizer["pretokenizers"];
  size_t longest = 0;
  for (const Known& known : kKnown) {
    const size_t n = n_matching(steps, known);
    const bool whole = n == known.splits.size() && steps.size() == n + 1;
    if (whole && is_byte_level(steps.back())) return std::string(known.name);
    longest = std::max(longest, n);
  }
  const std::string step =
      longest < steps.size()
          ? steps[longest].dump(-1, ' ', true, json::error_handler_t::replace).substr(0, 100)
          : std::string("the end");
  return fail(Errc::kUnsupported,
              "{}: 'pre_tokenizer': step {} is neither deepseek-llm's nor deepseek-v3's (got {})",
              file, longest, step);
}

}  // namespace minke::convert
