// Which instruction set the kernels use: the best one this processor has, or the one that the
// environment variable MINKE_ISA names.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "backends/cpu/kernel_table.h"
#include "runtime/result.h"

namespace minke::cpu {

/// The tables this processor (and its operating system) can run, best first. Never empty: `scalar`
/// (x86) or `neon` (Arm) runs everywhere.
std::span<const KernelTable* const> available_kernels() noexcept;

/// The table of that name. Unknown names and names this processor cannot run are errors that list
/// those available.
Result<const KernelTable*> find_kernels(std::string_view isa);

/// What MINKE_ISA names, or the best available where it is unset or empty.
Result<const KernelTable*> default_kernels();

/// The instruction sets and features found, for `info` and logs: "avx2 avx512 avx512vnni".
std::string available_isa_names();

}  // namespace minke::cpu
