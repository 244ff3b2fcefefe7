// What a processor could do at best: the loops behind `minke bench --limits`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace minke::cpu {

/// A loop of nothing but int8 multiply-adds in registers, in an instruction set's best way.
struct PeakLoop {
  std::string_view instruction;  ///< "vpdpbusd, 512 bit"
  uint64_t multiply_adds;        ///< Of one round.
  /// The value only keeps the compiler from leaving the loop out.
  uint32_t (*run)(uint64_t rounds) noexcept;
};

/// `isa` as KernelTable::name has it, and one that this processor has.
PeakLoop peak_loop(std::string_view isa) noexcept;

/// Reads n bytes (a multiple of 1024, 64-byte aligned) once with the widest loads of the
/// instruction set; the value only keeps the compiler from leaving the loop out.
uint64_t read_once(std::string_view isa, const std::byte* data, size_t n) noexcept;

}  // namespace minke::cpu
