// What the NVRTC of the tests gives for a cubin, and their driver loads: a shared library of the C compiler behind a
// head. For each kernel NAME it has enter_NAME(void **arguments), which takes pointers to the values of its parameters,
// and sizes_NAME, their sizes up to a 0; `emulated` is that of emulation.h.
#ifndef TESTS_CUDA_FAKE_CUBIN_H
#define TESTS_CUDA_FAKE_CUBIN_H

#include <stddef.h>

typedef struct {
    char mark[16];  // FAKE_CUBIN_MARK
    size_t bytes;   // of the library, which follows
} FakeCubin;
#define FAKE_CUBIN_MARK "sinter's cubin"

#endif
