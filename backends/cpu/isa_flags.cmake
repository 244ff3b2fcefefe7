# The kernels, compiled once an instruction set: one object library each, all linked into the one
# binary. isa.cpp chooses at run time.
set(minke_kernel_sources
  kernels/matmul_direct.cpp
  kernels/matmul_float.cpp
  kernels/matmul_quant.cpp
  kernels/quantize.cpp
  kernels/table.cpp
  kernels/unpack.cpp
  kernels/vector.cpp
)

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

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
  set(minke_isas scalar avx2 avx512 avx512vnni avx512bf16)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
  set(minke_isas neon dotprod)
else()
  set(minke_isas scalar)
endif()
set(MINKE_KERNEL_ISAS ${minke_isas} CACHE INTERNAL "Instruction sets that kernels are built for")

# Adds the objects of every instruction set to `target`. -ffp-contract=off: where a product and a
# sum are rounded once is written in the kernels, so that all instruction sets agree.
function(minke_add_kernels target)
  foreach(isa IN LISTS minke_isas)
    add_library(minke_kernels_${isa} OBJECT ${minke_kernel_sources})
    target_link_libraries(minke_kernels_${isa} PRIVATE minke_flags)
    target_compile_definitions(minke_kernels_${isa} PRIVATE MINKE_ISA_NS=${isa})
    target_compile_options(minke_kernels_${isa} PRIVATE
      -O3 -fno-exceptions -fno-rtti -ffp-contract=off -fno-math-errno -fno-trapping-math
      ${minke_${isa}_flags})
    target_sources(${target} PRIVATE $<TARGET_OBJECTS:minke_kernels_${isa}>)
  endforeach()
endfunction()
