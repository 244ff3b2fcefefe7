// Choosing the instruction set, and that kernels of a newer one cannot leak into an older one.
#include "backends/cpu/isa.h"

#include <doctest/doctest.h>

#include <cstdlib>

namespace minke::test {

TEST_CASE("isa: the best is first, one for every processor is last") {
  const auto tables = cpu::available_kernels();
  REQUIRE(!tables.empty());
  const std::string_view last = tables.back()->name;
  CHECK((last == "scalar" || last == "neon"));
  for (const auto* table : tables) CHECK(cpu::find_kernels(table->name).value() == table);
}

TEST_CASE("isa: MINKE_ISA chooses, and unknown names are errors that list the known") {
  setenv("MINKE_ISA", cpu::available_kernels().back()->name, 1);
  CHECK(cpu::default_kernels().value() == cpu::available_kernels().back());
  setenv("MINKE_ISA", "", 1);
  CHECK(cpu::default_kernels().value() == cpu::available_kernels().front());
  setenv("MINKE_ISA", "sse9", 1);
  const auto wrong = cpu::default_kernels();
  unsetenv("MINKE_ISA");
  REQUIRE(!wrong);
  CHECK(wrong.error().code == Errc::kUsage);
  CHECK(wrong.error().message.find("sse9") != std::string::npos);
  CHECK(wrong.error().message.find(cpu::available_kernels().back()->name) != std::string::npos);
  CHECK(cpu::default_kernels().value() == cpu::available_kernels().front());
}

}  // namespace minke::test
