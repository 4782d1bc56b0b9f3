# What the compiler adds to find mistakes, or to make them harmless.
#
#     -DSINTER_SANITIZE=address,undefined   or =thread: every access of our C code is watched; generated kernels are not
#     -DSINTER_HARDEN=OFF                   none of the following
#
# Otherwise: position-independent executables, read-only relocations, no executable stack, guarded stacks, checked
# memcpy and friends. tests/robust/hardened.sh looks at the program for them.
set(SINTER_SANITIZE "" CACHE STRING "Sanitizers of the C code: address,undefined or thread")
option(SINTER_HARDEN "Hardened executables" ON)

if(SINTER_SANITIZE)
  add_compile_options(-fsanitize=${SINTER_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${SINTER_SANITIZE})
elseif(SINTER_HARDEN)
  add_compile_options(-fstack-protector-strong -fstack-clash-protection)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    add_compile_options(-fcf-protection)
  endif()
  if(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")  # needs optimisation
    add_compile_options(-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
  endif()
  add_link_options(-Wl,-z,relro,-z,now,-z,noexecstack)
endif()

cmake_policy(SET CMP0083 NEW)  # executables are linked as such, not only compiled
include(CheckPIESupported)
check_pie_supported(LANGUAGES C)
