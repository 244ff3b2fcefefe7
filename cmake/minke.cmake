# Flags and helpers that every folder's CMakeLists.txt shares.

add_library(minke_flags INTERFACE)
target_include_directories(minke_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(minke_flags INTERFACE -Wall -Wextra -Wconversion -Wshadow)
if(MINKE_WERROR)
  target_compile_options(minke_flags INTERFACE -Werror)
endif()

# minke_library(NAME FILES... ) declares one layer of the program; link what lies below it with
# target_link_libraries(NAME PUBLIC ...), in the direction that tests/includes_test.cpp checks.
function(minke_library name)
  add_library(${name} STATIC ${ARGN})
  target_link_libraries(${name} PUBLIC minke_flags)
endfunction()
