#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

// Read by LeakSanitizer, if the tests are built with it: clang's OpenMP runtime loses sight of what
// it keeps for its threads when teams of different sizes follow each other.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() { return "leak:libomp.so\n"; }
