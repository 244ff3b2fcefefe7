# Cross-compiles for 64-bit Arm with Debian's g++-aarch64-linux-gnu. Libraries that the cross
# compiler does not bring come from MINKE_SYSROOT, a directory that .ci/arm_sysroot fills;
# header-only libraries are those of the build machine.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)

set(MINKE_SYSROOT ${CMAKE_CURRENT_LIST_DIR}/../build-aarch64-sysroot/root
    CACHE PATH "Where .ci/arm_sysroot has put Arm's libraries")
cmake_path(ABSOLUTE_PATH MINKE_SYSROOT NORMALIZE)

set(CMAKE_FIND_ROOT_PATH ${MINKE_SYSROOT} /usr/aarch64-linux-gnu /usr/lib/gcc-cross/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE BOTH)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE BOTH)
set(ENV{PKG_CONFIG_LIBDIR} ${MINKE_SYSROOT}/usr/lib/aarch64-linux-gnu/pkgconfig)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${MINKE_SYSROOT})

# Where Debian keeps headers that differ between architectures, such as OpenSSL's.
set(CMAKE_CXX_FLAGS_INIT "-isystem ${MINKE_SYSROOT}/usr/include/aarch64-linux-gnu")

# Libraries of the sysroot need each other when a program is linked.
set(CMAKE_EXE_LINKER_FLAGS_INIT
    "-Wl,-rpath-link,${MINKE_SYSROOT}/usr/lib/aarch64-linux-gnu:${MINKE_SYSROOT}/lib/aarch64-linux-gnu")

# ctest runs what was built under the user-mode emulator.
set(CMAKE_CROSSCOMPILING_EMULATOR
    qemu-aarch64;-L;/usr/aarch64-linux-gnu;-E;LD_LIBRARY_PATH=${MINKE_SYSROOT}/usr/lib/aarch64-linux-gnu:${MINKE_SYSROOT}/lib/aarch64-linux-gnu)
