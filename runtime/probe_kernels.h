// The loops that probe.c times, for the widest vectors this processor has. Chosen at run time; nothing is compiled for
// more than the baseline unless the function carries a target attribute.
#ifndef SINTER_RUNTIME_PROBE_KERNELS_H
#define SINTER_RUNTIME_PROBE_KERNELS_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    int vector_bytes, vector_registers;
    double flops_per_repeat;                  // of multiply_add
    float (*multiply_add)(int64_t repeats);   // independent multiply-adds in registers
    float (*sum)(const float *values, size_t count);                              // count: multiple of 64
    void (*triad)(float *out, const float *a, const float *b, size_t count);      // out = a + 3 b; multiple of 16
} ProbeKernel;

const ProbeKernel *probe_kernel(void);

#endif
