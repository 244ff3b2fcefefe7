// From the tensors of a checkpoint to those of a GGUF file: names, stacking, splitting, shapes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "convert/checkpoint.h"
#include "convert/hf_config.h"
#include "runtime/result.h"
#include "runtime/tensor.h"

namespace minke::convert {

/// Weights of a checkpoint as one matrix: the tensor, and the scales that FP8 comes with.
struct SourceMatrix {
  CheckpointTensor weights;
  CheckpointTensor scales;  ///< No file: none. Value = weight * scale of its block.
  int64_t block_rows = 0;   ///< Rows that share a scale.
  int64_t block_cols = 0;
};

/// Some rows of a source matrix, as they enter an output tensor: one after another, or transposed.
struct Slab {
  SourceMatrix source;
  int64_t first_row = 0;
  int64_t n_rows = 0;
  bool transposed = false;  ///< The output rows are these rows' columns.
};

/// One tensor of the file. Its rows are those of its slabs, in order.
struct PlannedTensor {
  std::string name;
  TensorDesc desc;  ///< The dtype is set by the recipe, later.
  std::vector<Slab> slabs;
};

/// Every tensor of the file, in the order in which they are written; the dtypes are F32. Layers
/// beyond config.n_layers (multi-token prediction) are left out. Experts are stacked to
/// (n_experts, ff, hidden); kv_b_proj becomes attn_k_b (heads, kv_lora_rank, qk_nope_dim), the
/// transposed key rows of each head, and attn_v_b (heads, v_dim, kv_lora_rank), its value rows.
/// Errors: kContent for a tensor that is missing, that has another shape or type than config.json
/// asks for, or that no DeepSeek-V2 model has.
Result<std::vector<PlannedTensor>> plan_tensors(const Checkpoint& checkpoint,
                                                const HfConfig& config);

}  // namespace minke::convert
