// From the tensors of a source to those of a GGUF file: names, stacking, splitting, shapes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "convert/checkpoint.h"
#include "convert/hf_config.h"
#include "convert/source_values.h"
#include "runtime/input_file.h"
#include "runtime/result.h"
#include "runtime/tensor.h"

namespace minke::convert {

struct ImportanceEntry;

/// A tensor of a source: what its bytes mean and where they lie. The source owns name and file.
struct SourceTensor {
  std::string_view name;
  const InputFile* file = nullptr;
  uint64_t begin = 0;  ///< Of its bytes, from the start of the file.
  Shape shape;
  SourceFormat format;
};

/// Weights as one matrix: the tensor, and the scales that FP8 comes with.
struct SourceMatrix {
  SourceTensor weights;
  std::optional<SourceTensor> scales;  ///< Value = weight * scale of its block.
  int64_t block_rows = 0;              ///< Rows that share a scale.
  int64_t block_cols = 0;
};

/// Some rows of a source matrix, as they enter an output tensor: one after another, or transposed.
struct Slab {
  SourceMatrix source;
  int64_t first_row = 0;
  int64_t n_rows = 0;
  bool transposed = false;  ///< The output rows are these rows' columns.
};

/// Whether a file with tensors of this type holds the slab's bytes as they are.
inline bool is_copy(const Slab& slab, DType dtype) noexcept {
  return !slab.transposed && !slab.source.scales && slab.source.weights.format.dtype == dtype;
}

/// One tensor of the file. Its rows are those of its slabs, in order.
struct PlannedTensor {
  std::string name;
  TensorDesc desc;  ///< The dtype is the source's, until a recipe sets it.
  std::vector<Slab> slabs;
  DType wanted = DType::kF32;  ///< Not desc.dtype where rows are not whole blocks of it.
  const ImportanceEntry* importance = nullptr;  ///< Null: none was measured.
};

/// Every tensor of a checkpoint's file, in the order in which they are written; the dtypes are F32.
/// Layers beyond config.n_layers (multi-token prediction) are left out. Experts are stacked to
/// (n_experts, ff, hidden); kv_b_proj becomes attn_k_b (heads, kv_lora_rank, qk_nope_dim), the
/// transposed key rows of each head, and attn_v_b (heads, v_dim, kv_lora_rank), its value rows.
/// Errors: kContent for a tensor that is missing, that has another shape or type than config.json
/// asks for, or that no DeepSeek-V2 model has.
Result<std::vector<PlannedTensor>> plan_tensors(const Checkpoint& checkpoint,
                                                const HfConfig& config);

}  // namespace minke::convert
