# Code that is compiled once an instruction set: one object library each, all linked into the one
# binary, which chooses at run time.

# Plain code that nobody waits for; -O3 takes five times as long to compile.
set(minke_scalar_flags -O2)
set(minke_avx2_flags -mavx2 -mfma -mf16c)
set(minke_avx512_flags ${minke_avx2_flags} -mavx512f -mavx512cd -mavx512bw -mavx512dq -mavx512vl
  -mprefer-vector-width=512)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12's own AVX-512 headers start from an undefined register (GCC bug 105593).
  list(APPEND minke_avx512_flags -Wno-uninitialized -Wno-maybe-uninitialized)
endif()
set(minke_avx512vnni_flags ${minke_avx512_flags} -mavx512vnni)
set(minke_avx512bf16_flags ${minke_avx512vnni_flags} -mavx512bf16)
set(minke_dotprod_flags -march=armv8.2-a+dotprod+fp16)

# minke_add_isa_objects(TARGET NAME ISAS FILES...) adds the objects of every instruction set to
# TARGET, from libraries minke_NAME_ISA. -ffp-contract=off: where a product and a sum are rounded
# once is written in the code, so that all instruction sets agree.
function(minke_add_isa_objects target name isas)
  foreach(isa IN LISTS isas)
    set(objects minke_${name}_${isa})
    add_library(${objects} OBJECT ${ARGN})
    target_link_libraries(${objects} PRIVATE minke_flags)
    target_compile_definitions(${objects} PRIVATE MINKE_ISA_NS=${isa})
    target_compile_options(${objects} PRIVATE
      -O3 -fno-exceptions -fno-rtti -ffp-contract=off -fno-math-errno -fno-trapping-math
      ${minke_${isa}_flags})
    target_sources(${target} PRIVATE $<TARGET_OBJECTS:${objects}>)
  endforeach()
endfunction()
