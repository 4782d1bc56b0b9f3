#include "runtime/probe_kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define NAME(x) x##_512
#define TARGET __attribute__((target("avx512f")))
#define WIDTH 64
#define REGISTERS 32
#define CHAINS 24
#define MULTIPLY_ADD(a, b, c) _mm512_fmadd_ps(a, b, c)
#define KEEP(value) __asm__ volatile("" : "+v"(value))
#include "runtime/probe_template.h"

#define NAME(x) x##_256
#define TARGET __attribute__((target("avx2,fma")))
#define WIDTH 32
#define REGISTERS 16
#define CHAINS 12
#define MULTIPLY_ADD(a, b, c) _mm256_fmadd_ps(a, b, c)
#define KEEP(value) __asm__ volatile("" : "+x"(value))
#include "runtime/probe_template.h"

#define NAME(x) x##_128
#define TARGET
#define WIDTH 16
#define REGISTERS 16
#define CHAINS 12
#define MULTIPLY_ADD(a, b, c) ((a) * (b) + (c))
#define KEEP(value) __asm__ volatile("" : "+x"(value))
#include "runtime/probe_template.h"

const ProbeKernel *probe_kernel(void) {
    if (__builtin_cpu_supports("avx512f")) return &kernel_512;
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &kernel_256 : &kernel_128;
}

#elif defined(__aarch64__)

#include <arm_neon.h>

#define NAME(x) x##_neon
#define TARGET
#define WIDTH 16
#define REGISTERS 32
#define CHAINS 24
#define MULTIPLY_ADD(a, b, c) ((vector_neon)vfmaq_f32((float32x4_t)(c), (float32x4_t)(a), (float32x4_t)(b)))
#define KEEP(value) __asm__ volatile("" : "+w"(value))
#include "runtime/probe_template.h"

const ProbeKernel *probe_kernel(void) {
    return &kernel_neon;
}

#else
#error "the probe knows x86-64 and aarch64"
#endif
