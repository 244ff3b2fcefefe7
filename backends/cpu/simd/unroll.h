// Loops of a constant few turns whose arrays must become registers.
#pragma once

#if defined(MINKE_UNROLL)  // cmake/isa.cmake
#elif defined(__clang__)
#define MINKE_UNROLL _Pragma("unroll")
#else
#define MINKE_UNROLL _Pragma("GCC unroll 16")
#endif
