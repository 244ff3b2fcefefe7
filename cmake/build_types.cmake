# Build types beyond CMake's own, sanitizers, and the compiler cache.

set(MINKE_SANITIZE "" CACHE STRING "Sanitizers to build with, as -fsanitize= takes them")

# "Sanitize": optimised enough for a test suite, with frames and lines for the reports.
set(CMAKE_CXX_FLAGS_SANITIZE "-O1 -g1 -fno-omit-frame-pointer" CACHE STRING "" FORCE)
if(MINKE_SANITIZE)
  add_compile_options(-fsanitize=${MINKE_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${MINKE_SANITIZE})
endif()
option(MINKE_FUZZ "Build the fuzz targets of tests/fuzz; wants clang" OFF)

find_program(MINKE_CCACHE ccache DOC "Compiler cache, used where it is installed")
if(MINKE_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${MINKE_CCACHE})
endif()
