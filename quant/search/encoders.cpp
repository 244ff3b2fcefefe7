#include "quant/search/encoders.h"

#include <cstdlib>
#include <string_view>
#include <vector>

#include "quant/encoders_isas.h"  // made by minke_add_isa_objects of cmake/isa.cmake

namespace minke {
namespace encoders {

#define MINKE_DECLARE(isa)         \
  namespace isa {                  \
  extern const Encoders kEncoders; \
  }
MINKE_ENCODERS_ISAS(MINKE_DECLARE)
#undef MINKE_DECLARE

namespace {

// Whether processor and operating system support what cmake/isa.cmake compiles for.
bool supported([[maybe_unused]] std::string_view isa) noexcept {
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0;
  if (isa == "avx2") return avx2;
  if (isa == "avx512") {
    return avx2 && __builtin_cpu_supports("avx512f") != 0 &&
           __builtin_cpu_supports("avx512cd") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
           __builtin_cpu_supports("avx512dq") != 0 && __builtin_cpu_supports("avx512vl") != 0;
  }
#endif
  return true;
}

// MINKE_ISA may name more than the encoders distinguish: to them "avx512vnni" is avx512, "avxvnni"
// avx2.
const Encoders& chosen() noexcept {
  static const Encoders& encoders = []() -> const Encoders& {
    const char* forced = std::getenv("MINKE_ISA");
    std::string_view name = forced != nullptr ? forced : "";
    if (name == "avxvnni") name = "avx2";
    for (const Encoders* each : available()) {
      if (name.starts_with(each->name)) return *each;
    }
    return *available().front();
  }();
  return encoders;
}

}  // namespace

std::span<const Encoders* const> available() noexcept {
  static const std::vector<const Encoders*> all = [] {
    std::vector<const Encoders*> found;
#define MINKE_ADD(isa) \
  if (supported(#isa)) found.push_back(&isa::kEncoders);
    MINKE_ENCODERS_ISAS(MINKE_ADD)
#undef MINKE_ADD
    return found;
  }();
  return all;
}

}  // namespace encoders

void search_codes(const ScaledRule& rule, const float* x, const float* importance, size_t n_blocks,
                  ScaledCodes* out) noexcept {
  encoders::chosen().scaled(rule, x, importance, n_blocks, out);
}

void search_codes(const AffineRule& rule, const float* x, const float* importance, size_t n_blocks,
                  AffineCodes* out) noexcept {
  encoders::chosen().affine(rule, x, importance, n_blocks, out);
}

void search_codes(const SuperScaledRule& rule, const float* x, const float* importance,
                  size_t n_blocks, SuperScaledCodes* out) noexcept {
  encoders::chosen().super_scaled(rule, x, importance, n_blocks, out);
}

void search_codes(const SuperAffineRule& rule, const float* x, const float* importance,
                  size_t n_blocks, SuperAffineCodes* out) noexcept {
  encoders::chosen().super_affine(rule, x, importance, n_blocks, out);
}

}  // namespace minke
