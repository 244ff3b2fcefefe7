// Recognises how a tokenizer.json splits text before byte-pair encoding.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "runtime/result.h"

namespace minke::convert {

/// The GGUF name (tokenizer.ggml.pre) of a "pre_tokenizer" value: "deepseek-llm" or "deepseek-v3".
/// `file` names the file in errors. Errors: kUnsupported, which shows the step that nothing known
/// has.
Result<std::string> recognise_pretokenizer(const nlohmann::json& pre_tokenizer,
                                           const std::string& file);

}  // namespace minke::convert
