#include "models/sampling_defaults.h"

#include <array>
#include <cmath>
#include <string>
#include <variant>

#include "runtime/input_file.h"

namespace minke {
namespace {

struct Field {
  std::string_view name;
  std::string_view key;  // after "general.sampling."
  std::variant<float SamplingParams::*, int SamplingParams::*> member;
  bool always_shown;
};

constexpr std::array kFields = {
    Field{"temperature", "temp", &SamplingParams::temperature, true},
    Field{"top_k", "top_k", &SamplingParams::top_k, true},
    Field{"top_p", "top_p", &SamplingParams::top_p, true},
    Field{"min_p", "min_p", &SamplingParams::min_p, true},
    Field{"xtc_probability", "xtc_probability", &SamplingParams::xtc_probability, false},
    Field{"xtc_threshold", "xtc_threshold", &SamplingParams::xtc_threshold, false},
    Field{"repeat_last_n", "penalty_last_n", &SamplingParams::repeat_last_n, false},
    Field{"repeat_penalty", "penalty_repeat", &SamplingParams::repeat_penalty, false},
    Field{"mirostat", "mirostat", &SamplingParams::mirostat, false},
    Field{"mirostat_tau", "mirostat_tau", &SamplingParams::mirostat_tau, false},
    Field{"mirostat_eta", "mirostat_eta", &SamplingParams::mirostat_eta, false},
};

// The generation_config.json of the DeepSeek-V2 checkpoints.
constexpr float kFamilyTemperature = 0.3f;
constexpr float kFamilyTopP = 0.95f;

double value_of(const SamplingParams& params, const Field& field) {
  return std::visit([&params](auto member) { return static_cast<double>(params.*member); },
                    field.member);
}

Status read_field(const GgufFile& file, const std::string& key, const Field& field,
                  SamplingParams& params) {
  constexpr double kLimit = 1e9;
  double value = 0;
  if (const auto* member = std::get_if<int SamplingParams::*>(&field.member)) {
    MINKE_ASSIGN(const int64_t number, file.get_int(key));
    value = static_cast<double>(number);
    if (std::abs(value) <= kLimit) params.** member = static_cast<int>(number);
  } else {
    MINKE_ASSIGN(value, file.get_float(key));
    params.*std::get<float SamplingParams::*>(field.member) = static_cast<float>(value);
  }
  if (std::isfinite(value) && std::abs(value) <= kLimit) return {};
  return fail(Errc::kContent, "{}: key '{}': not a usable number (got {})",
              printable_path(file.path()), key, value);
}

Result<std::vector<std::string>> read_order(const GgufFile& file) {
  std::vector<std::string> order;
  MINKE_ASSIGN(std::string_view names, file.get_string_or("general.sampling.sequence", ""));
  while (!names.empty()) {
    const size_t end = names.find(';');
    if (end != 0) order.emplace_back(names.substr(0, end));
    if (end == std::string_view::npos) break;
    names.remove_prefix(end + 1);
  }
  return order;
}

}  // namespace

std::string_view to_string(SamplingSource source) noexcept {
  switch (source) {
    case SamplingSource::kFile:
      return "the file";
    case SamplingSource::kFamily:
      return "the model family";
    case SamplingSource::kMinke:
      return "Minke";
  }
  return "";
}

Result<SamplingDefaults> sampling_defaults(const GgufFile& file) {
  SamplingDefaults defaults;
  defaults.params.temperature = kFamilyTemperature;
  defaults.params.top_p = kFamilyTopP;
  MINKE_ASSIGN(defaults.params.order, read_order(file));
  for (const Field& field : kFields) {
    const std::string key = "general.sampling." + std::string(field.key);
    const bool in_file = file.has(key);
    if (in_file) MINKE_TRY(read_field(file, key, field, defaults.params));
    if (!in_file && !field.always_shown) continue;
    const bool family = field.name == "temperature" || field.name == "top_p";
    defaults.shown.push_back({field.name, value_of(defaults.params, field),
                              in_file  ? SamplingSource::kFile
                              : family ? SamplingSource::kFamily
                                       : SamplingSource::kMinke});
  }
  return defaults;
}

}  // namespace minke
