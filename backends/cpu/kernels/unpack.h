// From the blocks of a file to what the integer kernels multiply. Every block format becomes the
// same thing: weight = scale * (byte - offset) + min, the bytes in the order of the columns, the
// scale and min for 32 or 16 consecutive weights.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backends/cpu/simd/dot_i8.h"
#include "quant/format.h"

namespace minke::cpu::MINKE_ISA_NS {

/// Unpacks n_blocks consecutive blocks. `scale` and `min` receive one float a group; formats
/// without mins do not touch `min`.
using UnpackFn = void (*)(const void* blocks, int n_blocks, uint8_t* bytes, float* scale,
                          float* min) noexcept;

/// Where the blocks of kLanes rows go. Dword k of row r goes to dwords[k * stride + r], its scale
/// of group g to scale[g * stride + r], and so the others. Bytes may be a multiple of what UnpackFn
/// gives where the scale makes up for it, as in Q4_K where kHighInPlace.
struct LaneTarget {
  uint8_t (*dwords)[4];
  float* scale;
  float* magic_scale;  ///< See Panel.
  float* min;          ///< Not touched where the format has none.
  size_t stride;
};
using UnpackLanesFn = void (*)(const uint8_t* rows, size_t row_bytes, int n_blocks,
                               const LaneTarget& target) noexcept;

struct Unpacker {
  DType dtype;
  int block_len;       ///< Weights in a block: 32 or 256.
  size_t block_bytes;  ///< Bytes of a block.
  int group;           ///< Weights that share a scale: 32 or 16.
  bool has_min;
  int offset;   ///< Subtracted from the bytes.
  Range range;  ///< Of the bytes.
  UnpackFn unpack;
  UnpackLanesFn unpack_lanes;  ///< Null: the rows' bytes are transposed after unpack.
};

/// Null for formats that are not block-quantized.
const Unpacker* find_unpacker(DType dtype) noexcept;

}  // namespace minke::cpu::MINKE_ISA_NS
