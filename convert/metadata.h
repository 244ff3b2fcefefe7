// The key-value part of a converted file.
#pragma once

#include "convert/hf_config.h"
#include "convert/hf_tokenizer.h"
#include "runtime/gguf_writer.h"

namespace minke::convert {

/// Sets general.* but for general.file_type, deepseek2.* and tokenizer.ggml.*: the keys and types
/// that readers of GGUF's deepseek2 architecture expect, in the layout with attn_k_b and attn_v_b.
void write_metadata(const HfConfig& config, const HfGeneration& generation,
                    const HfTokenizer& tokenizer, GgufWriter& writer);

}  // namespace minke::convert
