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
set(minke_amx_flags ${minke_avx512vnni_flags} -mamx-tile -mamx-int8)
set(minke_avxvnni_flags ${minke_avx2_flags} -mavxvnni)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # Where products are added in 16 bits by instructions of their own, GCC keeps them all in
  # registers, which there are too few of, and adds them up at the end.
  list(APPEND minke_avx2_flags -fno-tree-ter -fno-tree-reassoc)
  list(APPEND minke_avx512_flags -fno-tree-ter -fno-tree-reassoc)
endif()
set(minke_dotprod_flags -march=armv8.2-a+dotprod+fp16)

# The first runs everywhere, the last is the best.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
  set(processor_isas scalar avx2 avxvnni avx512 avx512vnni amx)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
  set(processor_isas neon dotprod)
else()
  set(processor_isas scalar)
endif()
list(GET processor_isas 0 baseline)
set(MINKE_ISAS "${processor_isas}" CACHE STRING "Instruction sets to build for, the best last")
foreach(isa IN LISTS MINKE_ISAS)
  if(NOT isa IN_LIST processor_isas)
    message(FATAL_ERROR "MINKE_ISAS: '${isa}' is not one of ${processor_isas}; "
                        "`cmake -U MINKE_ISAS` forgets what an older version put there")
  endif()
endforeach()
if(NOT baseline IN_LIST MINKE_ISAS)
  message(FATAL_ERROR "MINKE_ISAS: without '${baseline}', which runs on every such processor")
endif()
if(amx IN_LIST MINKE_ISAS AND NOT avx512vnni IN_LIST MINKE_ISAS)
  message(FATAL_ERROR "MINKE_ISAS: 'amx' without 'avx512vnni', whose kernels it uses")
endif()

# minke_add_isa_objects(TARGET NAME ISAS FILES...) adds the objects of every instruction set to
# TARGET, from libraries minke_NAME_ISA, and writes NAME_isas.h, which lists them, the best first,
# for TARGET to choose from at run time: MINKE_NAME_ISAS(X). -ffp-contract=off: where a product and a
# sum are rounded once is written in the code, so that all instruction sets agree.
function(minke_add_isa_objects target name isas)
  set(list "")
  foreach(isa IN LISTS isas)
    string(PREPEND list " X(${isa})")
    set(objects minke_${name}_${isa})
    add_library(${objects} OBJECT ${ARGN})
    target_link_libraries(${objects} PRIVATE minke_flags)
    target_compile_definitions(${objects} PRIVATE MINKE_ISA_NS=${isa})
    target_compile_options(${objects} PRIVATE
      -O3 -fno-exceptions -fno-rtti -ffp-contract=off -fno-math-errno -fno-trapping-math
      ${minke_${isa}_flags}
      # With sanitizers -O3 and unrolled loops take ten times as long each, and find the same.
      $<$<CONFIG:Sanitize>:-O1;-DMINKE_UNROLL=>)
    target_sources(${target} PRIVATE $<TARGET_OBJECTS:${objects}>)
  endforeach()
  string(TOUPPER ${name} upper)
  file(RELATIVE_PATH folder ${CMAKE_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR})
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/generated/${folder}/${name}_isas.h
       CONTENT "#define MINKE_${upper}_ISAS(X)${list}\n")
  target_include_directories(${target} PRIVATE ${CMAKE_BINARY_DIR}/generated)
  set(MINKE_${upper}_ISAS ${isas} CACHE INTERNAL "Instruction sets that ${name} are built for")
endfunction()
