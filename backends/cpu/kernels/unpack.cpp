#include "backends/cpu/kernels/unpack.h"

#include "backends/cpu/kernels/unpack_generic.h"
#if defined(__AVX2__)
#include "backends/cpu/kernels/lane_scales.h"
#include "backends/cpu/kernels/lane_weights.h"
#include "backends/cpu/kernels/panel.h"
#endif

namespace minke::cpu::MINKE_ISA_NS {
namespace {

template <class Block>
void unpack(const void* blocks, int n_blocks, uint8_t* bytes, float* scale, float* min) noexcept {
  unpack_all(static_cast<const Block*>(blocks), n_blocks, bytes, scale, min);
}

#if defined(__AVX2__)
template <class Block>
concept HasLanes = requires {
  sizeof(LaneWeights<Block>);
};

template <class Block>
void unpack_lanes(const uint8_t* rows, size_t row_bytes, int n_blocks,
                  const LaneTarget& target) noexcept {
  const RowPointers pointers(rows, row_bytes);
  const bool has_min = target.min != nullptr;
  size_t scale_at = 0;  // Of the block's first group in the targets' scales.
  for (int b = 0; b < n_blocks; ++b) {
    const size_t at = static_cast<size_t>(b) * sizeof(Block);
    auto* dwords = target.dwords + at / sizeof(Block) * Block::kLen / 4 * target.stride;
    LaneWeights<Block>::for_each_16(pointers, at, [&](int i, const auto& weight) {
      MINKE_UNROLL
      for (int j = 0; j < 4; ++j)
        store_bytes(dwords + static_cast<size_t>(4 * i + j) * target.stride, weight(j));
    });
    LaneScales<Block>::for_each_scale(pointers, at, [&](int, VF scale, VF min) {
      store(target.scale + scale_at, scale);
      store(target.magic_scale + scale_at, scale * splat(-kMagic));
      if (has_min) store(target.min + scale_at, min);
      scale_at += target.stride;
    });
  }
}
#endif

template <class Block>
constexpr Unpacker unpacker(DType dtype, int group, bool has_min, int offset, Range range) {
  Unpacker unpacker{dtype,         static_cast<int>(Block::kLen),
                    sizeof(Block), group,
                    has_min,       offset,
                    range,         &unpack<Block>,
                    nullptr};
#if defined(__AVX2__)
  if constexpr (HasLanes<Block>) unpacker.unpack_lanes = &unpack_lanes<Block>;
#endif
  return unpacker;
}

constexpr Unpacker kUnpackers[] = {
    unpacker<BlockQ4_0>(DType::kQ4_0, 32, false, 8, Range::k4),
    unpacker<BlockQ4_1>(DType::kQ4_1, 32, true, 0, Range::k4),
    unpacker<BlockQ5_0>(DType::kQ5_0, 32, false, 16, Range::k5),
    unpacker<BlockQ5_1>(DType::kQ5_1, 32, true, 0, Range::k5),
    unpacker<BlockQ8_0>(DType::kQ8_0, 32, false, kFullBias, Range::kFull),
    unpacker<BlockQ2_K>(DType::kQ2_K, 16, true, 0, Range::k4),
    unpacker<BlockQ3_K>(DType::kQ3_K, 16, false, 4, Range::k4),
    unpacker<BlockQ4_K>(DType::kQ4_K, 32, true, 0, Range::k4),
    unpacker<BlockQ5_K>(DType::kQ5_K, 32, true, 0, Range::k5),
    unpacker<BlockQ6_K>(DType::kQ6_K, 16, false, 32, Range::k6),
    unpacker<BlockIQ4_NL>(DType::kIQ4_NL, 32, false, kFullBias, Range::kFull),
    unpacker<BlockIQ4_XS>(DType::kIQ4_XS, 32, false, kFullBias, Range::kFull),
    unpacker<BlockIQ1_S>(DType::kIQ1_S, 32, false, BlockIQ1_S::kOffset, Range::k5),
    unpacker<BlockIQ1_M>(DType::kIQ1_M, 16, false, BlockIQ1_M::kOffset, Range::k6),
    unpacker<BlockIQ2_XXS>(DType::kIQ2_XXS, 32, false, kFullBias, Range::kFull),
    unpacker<BlockIQ2_XS>(DType::kIQ2_XS, 16, false, kFullBias, Range::kFull),
    unpacker<BlockIQ2_S>(DType::kIQ2_S, 16, false, kFullBias, Range::kFull),
    unpacker<BlockIQ3_XXS>(DType::kIQ3_XXS, 32, false, kFullBias, Range::kFull),
    unpacker<BlockIQ3_S>(DType::kIQ3_S, 32, false, kFullBias, Range::kFull),
    unpacker<BlockMXFP4>(DType::kMXFP4, 32, false, kMxfp4Offset, Range::k5),
};

}  // namespace

const Unpacker* find_unpacker(DType dtype) noexcept {
  for (const Unpacker& unpacker : kUnpackers)
    if (unpacker.dtype == dtype) return &unpacker;
  return nullptr;
}

}  // namespace minke::cpu::MINKE_ISA_NS
