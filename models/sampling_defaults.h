// How a model wants to be sampled when the user says nothing.
#pragma once

#include <string_view>
#include <vector>

#include "runtime/gguf_reader.h"
#include "runtime/result.h"
#include "runtime/sampler.h"

namespace minke {

/// Who chose a value: the model's file (general.sampling.*), the family (DeepSeek's published
/// temperature and top_p), or Minke.
enum class SamplingSource { kFile, kFamily, kMinke };

/// "the file", "the model family", "Minke"
std::string_view to_string(SamplingSource source) noexcept;

/// A value for people to see.
struct SamplingDefault {
  std::string_view name;  ///< As in SamplingParams.
  double value;
  SamplingSource source;
};

struct SamplingDefaults {
  SamplingParams params;
  /// temperature, top_k, top_p and min_p always, others where the file says something.
  std::vector<SamplingDefault> shown;
};

/// The file's values before the family's before Minke's own. Errors: kContent (a value of a wrong
/// type or out of range).
Result<SamplingDefaults> sampling_defaults(const GgufFile& file);

}  // namespace minke
