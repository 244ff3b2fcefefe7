#include "backends/cpu/kernels/unpack.h"

#include "backends/cpu/kernels/unpack_generic.h"
#if defined(__AVX2__)
#include "backends/cpu/kernels/unpack_x86.h"
#endif

namespace minke::cpu::MINKE_ISA_NS {
namespace {

template <class Block>
void unpack(const void* blocks, int n_blocks, uint8_t* bytes, float* scale, float* min) noexcept {
  unpack_all(static_cast<const Block*>(blocks), n_blocks, bytes, scale, min);
}

template <class Block>
constexpr Unpacker unpacker(DType dtype, int group, bool has_min, int offset, Range range) {
  return {
      dtype,         static_cast<int>(Block::kLen), sizeof(Block), group, has_min, offset, range,
      &unpack<Block>};
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
