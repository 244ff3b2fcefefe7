# The kernels, compiled once an instruction set; isa.cpp chooses at run time.
set(minke_kernel_sources
  kernels/matmul_direct.cpp
  kernels/matmul_float.cpp
  kernels/matmul_quant.cpp
  kernels/quantize.cpp
  kernels/table.cpp
  kernels/unpack.cpp
  kernels/vector.cpp
)

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
  set(minke_isas scalar avx2 avx512 avx512vnni avx512bf16)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
  set(minke_isas neon dotprod)
else()
  set(minke_isas scalar)
endif()
set(MINKE_KERNEL_ISAS ${minke_isas} CACHE INTERNAL "Instruction sets that kernels are built for")
