#include "apps/parameters.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <random>
#include <system_error>

#include "runtime/utf8.h"

namespace minke::apps {
namespace {

template <class T>
bool parse_number(std::string_view text, T& value) noexcept {
  if (text.starts_with('+')) text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size() && !text.empty();
}

tl::unexpected<Error> not_a(std::string_view kind, std::string_view text) {
  return fail(Errc::kUsage, "'{}' is not {}", printable(text), kind);
}

template <class T>
Status parse_into(T& target, std::string_view text) {
  if constexpr (std::is_same_v<T, bool>) {
    if (text != "0" && text != "1" && text != "true" && text != "false" && text != "on" &&
        text != "off")
      return not_a("on or off", text);
    target = text == "1" || text == "true" || text == "on";
  } else {
    T value{};
    if (!parse_number(text, value) || !std::isfinite(static_cast<double>(value)))
      return not_a(std::is_integral_v<T> ? "a whole number" : "a number", text);
    target = value;
  }
  return {};
}

// Function pointers for the table, made from a member of the values or of one of their parts.
template <auto kMember>
auto& member_of(auto& values) {
  if constexpr (requires { values.*kMember; })
    return values.*kMember;
  else if constexpr (requires { values.sampling.*kMember; })
    return values.sampling.*kMember;
  else
    return values.speculation.*kMember;
}
template <auto kMember>
Status parse(ParameterValues& values, std::string_view text) {
  return parse_into(member_of<kMember>(values), text);
}
template <auto kMember>
std::string print(const ParameterValues& values) {
  const auto& value = member_of<kMember>(values);
  if constexpr (std::is_same_v<decltype(value), const bool&>)
    return value ? "on" : "off";
  else
    return fmt::format("{}", value);
}

std::vector<std::string> split(std::string_view text, std::string_view separators) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const size_t end = std::min(text.find_first_of(separators), text.size());
    if (end > 0) parts.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

Status parse_samplers(ParameterValues& values, std::string_view text) {
  values.sampling.order = text == "default" ? std::vector<std::string>{} : split(text, ";, ");
  return {};
}
std::string print_samplers(const ParameterValues& values) {
  std::string text;
  for (const std::string& name : values.sampling.order) text += (text.empty() ? "" : ";") + name;
  return text.empty() ? "default" : text;
}

Status parse_seed(ParameterValues& values, std::string_view text) {
  int64_t seed = 0;
  MINKE_TRY(parse_into(seed, text));
  if (seed < -1) return fail(Errc::kUsage, "the seed must be -1 or more (got {})", seed);
  values.seed = seed;
  return {};
}

Status parse_n_predict(ParameterValues& values, std::string_view text) {
  int n = 0;
  MINKE_TRY(parse_into(n, text));
  if (n < -1) return fail(Errc::kUsage, "tokens to predict must be -1 or more (got {})", n);
  values.n_predict = n;
  return {};
}

/// "15043+1", "15043-0.5", "15043-inf"; "none" takes all away.
Status parse_logit_bias(ParameterValues& values, std::string_view text) {
  if (text == "none") {
    values.sampling.logit_bias.clear();
    return {};
  }
  const size_t sign = std::min(text.find_first_of("+-", 1), text.size());
  int32_t token = 0;
  float bias = 0;
  if (!parse_number(text.substr(0, sign), token) || !parse_number(text.substr(sign), bias))
    return not_a("ID+BIAS or ID-BIAS", text);
  values.sampling.logit_bias.emplace_back(token, bias);
  return {};
}
std::string print_logit_bias(const ParameterValues& values) {
  std::string text;
  for (const auto& [token, bias] : values.sampling.logit_bias)
    text += fmt::format("{}{}{:+}", text.empty() ? "" : " ", token, bias);
  return text.empty() ? "none" : text;
}

std::string unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const char next = i + 1 < text.size() ? text[i + 1] : '\0';
    const bool known = text[i] == '\\' && (next == 'n' || next == 't' || next == '\\');
    out += !known ? text[i] : next == 'n' ? '\n' : next == 't' ? '\t' : '\\';
    if (known) ++i;
  }
  return out;
}

/// "none" takes all away; any other text is one more.
Status parse_breaker(ParameterValues& values, std::string_view text) {
  if (text.empty()) return fail(Errc::kUsage, "a sequence breaker must not be empty");
  static const std::vector<std::string> kDefaults = ParameterValues{}.dry_breakers;
  if (text == "none" || values.dry_breakers == kDefaults) values.dry_breakers.clear();
  if (text != "none") values.dry_breakers.push_back(unescape(text));
  return {};
}
std::string print_breakers(const ParameterValues& values) {
  std::string text;
  for (const std::string& breaker : values.dry_breakers) {
    std::string shown;
    for (const char c : breaker) shown += c == '\n' ? "\\n" : c == '\t' ? "\\t" : std::string(1, c);
    text += fmt::format("{}{}", text.empty() ? "" : " ", printable(shown));
  }
  return text.empty() ? "none" : text;
}

Status parse_spec_type(ParameterValues& values, std::string_view text) {
  if (text != "none" && text != "ngram-simple") return not_a("none or ngram-simple", text);
  values.speculation.on = text != "none";
  return {};
}
std::string print_spec_type(const ParameterValues& values) {
  return values.speculation.on ? "ngram-simple" : "none";
}

using V = ParameterValues;
using S = SamplingParams;
using D = Speculation;

constexpr std::array kTable = {
    ParameterInfo{"predict", "-n,--predict,--n-predict", "n_predict num_predict", "N",
                  "Tokens to answer with at most; -1: until the model ends its answer", false,
                  parse_n_predict, print<&V::n_predict>},
    ParameterInfo{"seed", "-s,--seed", "", "N", "Seed of the random numbers; -1: a new one", false,
                  parse_seed, print<&V::seed>},
    ParameterInfo{"temp", "--temp,--temperature", "temperature", "X",
                  "Temperature; 0: always the likeliest token", false, parse<&S::temperature>,
                  print<&S::temperature>},
    ParameterInfo{"top_k", "--top-k", "", "N", "Keep the N likeliest tokens; 0: all", false,
                  parse<&S::top_k>, print<&S::top_k>},
    ParameterInfo{"top_p", "--top-p", "", "X",
                  "Keep the likeliest tokens whose probabilities sum to X; 1: all", false,
                  parse<&S::top_p>, print<&S::top_p>},
    ParameterInfo{"min_p", "--min-p", "", "X",
                  "Drop tokens with less than X times the likeliest one's probability; 0: none",
                  false, parse<&S::min_p>, print<&S::min_p>},
    ParameterInfo{"typical", "--typical,--typical-p", "typical_p typ_p", "X",
                  "Locally typical sampling; 1: off", false, parse<&S::typical_p>,
                  print<&S::typical_p>},
    ParameterInfo{"top_nsigma", "--top-nsigma,--top-n-sigma", "top_n_sigma", "X",
                  "Keep logits within X standard deviations of the best; -1: off", false,
                  parse<&S::top_n_sigma>, print<&S::top_n_sigma>},
    ParameterInfo{"xtc_probability", "--xtc-probability", "", "X",
                  "Chance of leaving out the top choices (XTC); 0: off", false,
                  parse<&S::xtc_probability>, print<&S::xtc_probability>},
    ParameterInfo{"xtc_threshold", "--xtc-threshold", "", "X",
                  "Probability from which XTC leaves a token out", false, parse<&S::xtc_threshold>,
                  print<&S::xtc_threshold>},
    ParameterInfo{"repeat_penalty", "--repeat-penalty", "", "X",
                  "Divide the logits of repeated tokens by X; 1: off", false,
                  parse<&S::repeat_penalty>, print<&S::repeat_penalty>},
    ParameterInfo{"repeat_last_n", "--repeat-last-n", "", "N",
                  "Tokens that the penalties look back; 0: off, -1: all", false,
                  parse<&S::repeat_last_n>, print<&S::repeat_last_n>},
    ParameterInfo{"presence_penalty", "--presence-penalty", "", "X",
                  "Take X from the logits of tokens that occurred; 0: off", false,
                  parse<&S::presence_penalty>, print<&S::presence_penalty>},
    ParameterInfo{"frequency_penalty", "--frequency-penalty", "", "X",
                  "Take X from a token's logit for each time it occurred; 0: off", false,
                  parse<&S::frequency_penalty>, print<&S::frequency_penalty>},
    ParameterInfo{"dry_multiplier", "--dry-multiplier", "", "X",
                  "Strength of the penalty on repeated runs (DRY); 0: off", false,
                  parse<&S::dry_multiplier>, print<&S::dry_multiplier>},
    ParameterInfo{"dry_base", "--dry-base", "", "X", "How DRY grows with the length of the run",
                  false, parse<&S::dry_base>, print<&S::dry_base>},
    ParameterInfo{"dry_allowed_length", "--dry-allowed-length", "", "N",
                  "Longest repeated run that DRY lets pass", false, parse<&S::dry_allowed_length>,
                  print<&S::dry_allowed_length>},
    ParameterInfo{"dry_penalty_last_n", "--dry-penalty-last-n", "", "N",
                  "Tokens that DRY looks back; 0: off, -1: all", false,
                  parse<&S::dry_penalty_last_n>, print<&S::dry_penalty_last_n>},
    ParameterInfo{"dry_sequence_breaker", "--dry-sequence-breaker", "", "TEXT",
                  "A text that ends a run, in place of \\n : \" *; may be repeated; none: no such",
                  true, parse_breaker, print_breakers},
    ParameterInfo{"mirostat", "--mirostat", "", "N",
                  "Mirostat 1 or 2 in place of the other samplers; 0: off", false,
                  parse<&S::mirostat>, print<&S::mirostat>},
    ParameterInfo{"mirostat_lr", "--mirostat-lr", "mirostat_eta", "X",
                  "Mirostat's learning rate, eta", false, parse<&S::mirostat_eta>,
                  print<&S::mirostat_eta>},
    ParameterInfo{"mirostat_ent", "--mirostat-ent", "mirostat_tau", "X",
                  "Mirostat's target entropy, tau", false, parse<&S::mirostat_tau>,
                  print<&S::mirostat_tau>},
    ParameterInfo{"samplers", "--samplers", "", "LIST",
                  "The samplers in their order, separated by ';': "
                  "penalties;dry;top_n_sigma;top_k;typ_p;top_p;min_p;xtc;temperature",
                  false, parse_samplers, print_samplers},
    ParameterInfo{"logit_bias", "-l,--logit-bias", "", "ID+-BIAS",
                  "Add to a token's logit: 15043+1 or 15043-1; may be repeated; none: no bias",
                  true, parse_logit_bias, print_logit_bias},
    ParameterInfo{"ignore_eos", "--ignore-eos", "", "",
                  "Never choose the token that ends an answer", false, parse<&V::ignore_eos>,
                  print<&V::ignore_eos>},
    ParameterInfo{
        "spec_type", "--spec-type", "", "TYPE",
        "Guess tokens ahead: ngram-simple guesses what came after the same tokens before. "
        "Answers are the same, faster where they repeat the context",
        false, parse_spec_type, print_spec_type},
    ParameterInfo{"draft_max", "--draft-max,--draft,--draft-n", "draft draft_n", "N",
                  "Tokens to guess at a time at most; fewer where they would not pay", false,
                  parse<&D::draft_max>, print<&D::draft_max>},
    ParameterInfo{"draft_min", "--draft-min,--draft-n-min", "draft_n_min", "N",
                  "Tokens to guess at a time at least, wherever there is a guess", false,
                  parse<&D::draft_min>, print<&D::draft_min>},
    ParameterInfo{"spec_ngram_size_n", "--spec-ngram-size-n", "", "N",
                  "Tokens that must have come in the same order before", false,
                  parse<&D::ngram_size>, print<&D::ngram_size>},
    ParameterInfo{"timings", "--timings", "", "", "Print tokens a second after each answer", false,
                  parse<&V::timings>, print<&V::timings>},
};

std::string normalized(std::string_view name) {
  std::string out(name);
  std::ranges::replace(out, '-', '_');
  return out;
}

/// SamplingDefaults names values as SamplingParams does.
std::string_view table_name(std::string_view name) {
  const ParameterInfo* info = find_parameter(name);
  return info != nullptr ? info->name : name;
}

}  // namespace

std::span<const ParameterInfo> parameter_table() noexcept { return kTable; }

const ParameterInfo* find_parameter(std::string_view name) noexcept {
  const std::string wanted = normalized(name);
  for (const ParameterInfo& info : kTable) {
    const std::vector<std::string> aliases = split(info.aliases, " ");
    if (info.name == wanted || std::ranges::find(aliases, wanted) != aliases.end()) return &info;
  }
  return nullptr;
}

Parameters::Parameters() : random_seed_(std::random_device{}()) {}

void Parameters::use_defaults(const SamplingDefaults& defaults) {
  values_.sampling = defaults.params;
  for (const SamplingDefault& shown : defaults.shown)
    origins_[table_name(shown.name)] = to_string(shown.source);
  if (!defaults.params.order.empty()) origins_["samplers"] = to_string(SamplingSource::kFile);
}

Status Parameters::set(std::string_view name, std::string_view text) {
  const ParameterInfo* info = find_parameter(name);
  if (info == nullptr)
    return fail(Errc::kUsage, "there is no parameter '{}' (/show parameters lists all)",
                printable(name));
  ParameterValues changed = values_;
  if (const Status parsed = info->parse(changed, text); !parsed)
    return fail(Errc::kUsage, "{}: {}", info->name, parsed.error().message);
  // What depends on other values, or on the vocabulary, is checked when all are known: sampling().
  MINKE_TRY(Sampler::create(changed.sampling, std::numeric_limits<int>::max()));
  MINKE_TRY(check_ranges(changed.speculation));
  values_ = std::move(changed);
  origins_[info->name] = "you";
  if (info->name == "seed") random_seed_ = std::random_device{}();
  return {};
}

Result<SamplingParams> Parameters::sampling(const Tokenizer& tokenizer) const {
  MINKE_TRY(check(values_.speculation));
  SamplingParams params = values_.sampling;
  // What must not come has no chance, instead of being passed over when it comes.
  if (values_.ignore_eos && tokenizer.eos() >= 0)
    params.logit_bias.emplace_back(tokenizer.eos(), -std::numeric_limits<float>::infinity());
  params.seed = values_.seed >= 0 ? static_cast<uint64_t>(values_.seed) : random_seed_;
  if (params.dry_multiplier > 0) {
    for (const std::string& breaker : values_.dry_breakers) {
      const size_t before = params.dry_breakers.size();
      for (TokenId id = 0; id < tokenizer.vocab_size(); ++id)
        if (tokenizer.token_bytes(id).find(breaker) != std::string_view::npos)
          params.dry_breakers.push_back(id);
      if (params.dry_breakers.size() == before)
        return fail(Errc::kUsage, "no token holds the sequence breaker '{}': use a shorter one",
                    printable(breaker));
    }
  }
  MINKE_TRY(Sampler::create(params, tokenizer.vocab_size()));
  return params;
}

std::string_view Parameters::origin(std::string_view name) const {
  const auto found = origins_.find(table_name(name));
  return found == origins_.end() ? "Minke" : found->second;
}

std::string Parameters::describe() const {
  std::string text;
  for (const ParameterInfo& info : kTable) {
    std::string value = info.print(values_);
    if (info.name == "seed" && values_.seed < 0) value += fmt::format(" ({} now)", random_seed_);
    text += fmt::format("  {:<21} {:<22} {}\n", info.name, value, origin(info.name));
  }
  return text;
}

std::string Parameters::summary() const {
  std::string text;
  for (const std::string_view name : {"temp", "top_k", "top_p", "min_p"})
    text += fmt::format("{}{} {} ({})", text.empty() ? "" : ", ", name,
                        find_parameter(name)->print(values_), origin(name));
  return text;
}

}  // namespace minke::apps
