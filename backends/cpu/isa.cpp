#include "backends/cpu/isa.h"

#include <algorithm>
#include <cstdlib>
#include <type_traits>
#include <vector>

// Made by minke_add_isa_objects of cmake/isa.cmake.
#include "backends/cpu/kernels_isas.h"
#include "backends/cpu/tiles_isas.h"

#if defined(__aarch64__)
#include <sys/auxv.h>
#elif defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

namespace minke::cpu {

#define MINKE_DECLARE(isa)         \
  namespace isa {                  \
  extern const KernelTable kTable; \
  }
MINKE_KERNELS_ISAS(MINKE_DECLARE)
#undef MINKE_DECLARE
#define MINKE_DECLARE(isa)                                                   \
  namespace isa {                                                            \
  std::remove_pointer_t<decltype(KernelTable::attend_latent)> attend_latent; \
  }
MINKE_TILES_ISAS(MINKE_DECLARE)
#undef MINKE_DECLARE

namespace {

#if defined(__x86_64__)
/// CPUID leaf 7; zero on processors without it.
struct Leaf7 {
  unsigned eax_of_subleaf_1 = 0, edx = 0;
};
Leaf7 leaf_7() noexcept {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return {};
  const unsigned last_subleaf = a, edx = d;
  if (last_subleaf < 1) return {0, edx};
  __cpuid_count(7, 1, a, b, c, d);
  return {a, edx};
}

/// Whether this process may use tiles of bytes; asks the kernel for their registers, which it gives
/// to the threads of a process that has asked.
bool may_use_amx() noexcept {
#if defined(__linux__)
  constexpr unsigned kTile = 1U << 24, kInt8 = 1U << 25;
  if ((~leaf_7().edx & (kTile | kInt8)) != 0) return false;
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // asm/prctl.h of Linux 5.16 on
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}
#endif

/// Whether processor and operating system support what cmake/isa.cmake compiles for.
bool supported(std::string_view isa) noexcept {
#if defined(__x86_64__)
  // The compiler's runtime checks CPUID and which registers the operating system saves.
  const bool avx2 = __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0;
  const bool avx512 =
      avx2 && __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512cd") != 0 &&
      __builtin_cpu_supports("avx512bw") != 0 && __builtin_cpu_supports("avx512dq") != 0 &&
      __builtin_cpu_supports("avx512vl") != 0;
  const bool vnni = avx512 && __builtin_cpu_supports("avx512vnni") != 0;
  constexpr unsigned kAvxVnni = 1U << 4;
  if (isa == "avx2") return avx2;
  if (isa == "avxvnni") return avx2 && (leaf_7().eax_of_subleaf_1 & kAvxVnni) != 0;
  if (isa == "avx512") return avx512;
  if (isa == "avx512vnni") return vnni;
  if (isa == "amx") return vnni && may_use_amx();
#elif defined(__aarch64__)
  constexpr unsigned long kAsimdDp = 1UL << 20;  // HWCAP_ASIMDDP of the kernel's hwcap.h
  if (isa == "dotprod") return (getauxval(AT_HWCAP) & kAsimdDp) != 0;
#endif
  return isa == "scalar" || isa == "neon";
}

/// The best first.
std::vector<const KernelTable*> find_available() {
  std::vector<const KernelTable*> tables;
#define MINKE_ADD(isa)                          \
  if (supported(#isa)) {                        \
    static const KernelTable table = [] {       \
      KernelTable tiles = avx512vnni::kTable;   \
      tiles.name = #isa;                        \
      tiles.attend_latent = isa::attend_latent; \
      return tiles;                             \
    }();                                        \
    tables.push_back(&table);                   \
  }
  MINKE_TILES_ISAS(MINKE_ADD)
#undef MINKE_ADD
#define MINKE_ADD(isa) \
  if (supported(#isa)) tables.push_back(&isa::kTable);
  MINKE_KERNELS_ISAS(MINKE_ADD)
#undef MINKE_ADD
  return tables;
}

}  // namespace

std::span<const KernelTable* const> available_kernels() noexcept {
  static const std::vector<const KernelTable*> tables = find_available();
  return tables;
}

Result<const KernelTable*> find_kernels(std::string_view isa) {
  for (const KernelTable* table : available_kernels())
    if (table->name == isa) return table;
#define MINKE_IS_KNOWN(name) || isa == #name
  const bool known = false MINKE_TILES_ISAS(MINKE_IS_KNOWN) MINKE_KERNELS_ISAS(MINKE_IS_KNOWN);
#undef MINKE_IS_KNOWN
  if (known) {
    return fail(Errc::kUnsupported,
                "this processor does not have the instruction set '{}'; it has: {}", isa,
                available_isa_names());
  }
  return fail(Errc::kUsage, "unknown instruction set '{}'; this processor has: {}", isa,
              available_isa_names());
}

Result<const KernelTable*> default_kernels() {
  const char* forced = std::getenv("MINKE_ISA");
  if (forced == nullptr || *forced == '\0') return available_kernels().front();
  auto found = find_kernels(forced);
  if (!found) return fail(found.error().code, "MINKE_ISA: {}", found.error().message);
  return found;
}

std::string available_isa_names() {
  std::string names;
  for (const KernelTable* table : available_kernels()) {
    if (!names.empty()) names += ' ';
    names += table->name;
  }
  return names;
}

}  // namespace minke::cpu
