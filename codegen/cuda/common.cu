// What all generated kernels share; stands before them in every source. Needs no header: NVRTC has the built-in functions
// that are named here, and tests/cuda/emulation.h has them for a C compiler.
//
// A half-warp, 16 threads, is a worker: a core whose vectors have 16 lanes. A value of a lane is a register of one thread;
// what does not depend on lanes is computed by all 16 threads alike, and stored by the first.
#ifndef EMULATED
#define KERNEL(name, threads) extern "C" __global__ void __launch_bounds__(threads) name
#define INLINE static __device__ __forceinline__
#define CONSTANT static __device__ const
#define UNROLL _Pragma("unroll")
#define UNROLL_16 _Pragma("unroll 16")
#define ROLLED _Pragma("unroll 1")
// BEGINS_EARLY: a launch may begin while those it waits for are still at work (programmatic dependent launch, from sm_90
// on). Each kernel begins with await_earlier: behind it these have ended, and what they wrote is there; only then are launches
// that wait for this one let in, so that no more than two that follow each other ever overlap. Memory is written while the
// kernel is there, so nothing may be loaded as a constant, which is what `restrict` would make of it.
#ifdef BEGINS_EARLY
#define RESTRICT
#define await_earlier() asm volatile("griddepcontrol.wait;\n\tgriddepcontrol.launch_dependents;" ::: "memory")
#else
#define RESTRICT __restrict__
#define await_earlier()
#endif
#endif

// ---- workers

#define LANE ((int)(threadIdx.x & 15))
// Of the launch, or of its part in a merged one: its first line says which of how many blocks this is.
#define WORKER BY_BLOCKS
#define BY_BLOCKS ((block * (int)blockDim.x + (int)threadIdx.x) >> 4)
#define WORKERS ((blocks * (int)blockDim.x) >> 4)
#define BLOCK_WORKER ((int)(threadIdx.x >> 4))

INLINE unsigned worker_mask(void) { return 0xffffu << (threadIdx.x & 16); }

// What any thread of the worker wrote or read before is done before any goes on.
INLINE void worker_barrier(void) { __syncwarp(worker_mask()); }

INLINE float from_lane_xor(float value, int distance) {
    return __shfl_xor_sync(worker_mask(), value, distance, 16);
}

// ---- registers in turn: each has what the next one had, the last what the first had

#define ROTATE(type, parts, count)                                      \
    do {                                                                \
        const type first = parts[0];                                    \
        UNROLL                                                          \
        for (int i = 1; i < (count); i++) parts[i - 1] = parts[i];      \
        parts[(count) - 1] = first;                                     \
    } while (0)
#define ROTATE_ROWS(type, parts, count, width)                          \
    UNROLL                                                              \
    for (int v = 0; v < (width); v++) {                                 \
        const type first = parts[0][v];                                 \
        UNROLL                                                          \
        for (int i = 1; i < (count); i++) parts[i - 1][v] = parts[i][v]; \
        parts[(count) - 1][v] = first;                                  \
    }
#define ROTATE_LANES(type, parts, count, by)                            \
    do {                                                                \
        type first[by];                                                 \
        UNROLL                                                          \
        for (int v = 0; v < (by); v++) first[v] = parts[v];             \
        UNROLL                                                          \
        for (int v = by; v < (count); v++) parts[v - (by)] = parts[v];  \
        UNROLL                                                          \
        for (int v = 0; v < (by); v++) parts[(count) - (by) + v] = first[v]; \
    } while (0)

// ---- integers: two's complement, whatever the language says of overflow

INLINE int int_add(int a, int b) { return (int)((unsigned)a + (unsigned)b); }
INLINE int int_subtract(int a, int b) { return (int)((unsigned)a - (unsigned)b); }
INLINE int int_multiply(int a, int b) { return (int)((unsigned)a * (unsigned)b); }
INLINE int int_minimum(int a, int b) { return a < b ? a : b; }
INLINE int int_maximum(int a, int b) { return a > b ? a : b; }
INLINE int int_absolute(int a) { return a < 0 ? int_subtract(0, a) : a; }

// ---- floats

#define INFINITE __int_as_float(0x7f800000)
#define NOT_A_NUMBER __int_as_float(0x7fc00000)

// With a NaN they are it, whichever operand it is; of two zeros they are the second operand.
INLINE float float_maximum(float a, float b) { return a != a ? a : a > b ? a : b; }
INLINE float float_minimum(float a, float b) { return a != a ? a : a < b ? a : b; }
INLINE float float_rsqrt(float a) { return 1.0f / sqrtf(a); }

// In memory bf16 is the upper half of an f32, to the nearest, ties to even; what is not a number stays that.
INLINE unsigned short bf16_of(float value) {
    unsigned bits = (unsigned)__float_as_int(value), nearest = bits + 0x7fffu + (bits >> 16 & 1u);
    return (unsigned short)((value != value ? bits | 0x400000u : nearest) >> 16);
}
INLINE float float_of_bf16(unsigned short half) { return __int_as_float((int)((unsigned)half << 16)); }

// f16 in memory: to the nearest, ties to even, infinity from 65520 on.
#ifndef EMULATED
INLINE unsigned short f16_of(float value) {
    unsigned short half;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half) : "f"(value));
    return half;
}
INLINE float float_of_f16(unsigned short half) {
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(half));
    return value;
}
#endif

// ---- the tree of reductions: lane i with lane i+8 for i < 8, then i+4, i+2, i+1; all lanes get the result

INLINE float reduce_sum(float value) {
    UNROLL
    for (int distance = 8; distance > 0; distance /= 2) value += from_lane_xor(value, distance);
    return value;
}

INLINE float reduce_max(float value) {
    UNROLL
    for (int distance = 8; distance > 0; distance /= 2) {
        float other = from_lane_xor(value, distance);
        value = LANE & distance ? float_maximum(other, value) : float_maximum(value, other);
    }
    return value;
}

// ---- exp and log, as codegen/cpu/math_exponential.c has them

INLINE float power_of_two(int n) { return __int_as_float((int)((unsigned)(n + 127) << 23)); }

// mantissa * 2^n, rounded once: 2^n is multiplied in as two factors.
INLINE float float_scale(float mantissa, float n) {
    int whole = n == n ? (int)n : 0, half = whole >> 1;
    return mantissa * power_of_two(half) * power_of_two(whole - half);
}

INLINE float float_exp(float x) {
    float limited = x > 89.0f ? 89.0f : x;
    limited = limited < -104.0f ? -104.0f : limited;
    float n = rintf(limited * 1.44269502f);
    float r = fmaf(n, -0.693145752f, limited);
    r = fmaf(n, -1.42860677e-06f, r);
    float p = 0.0013931446f;
    p = fmaf(p, r, 0.00836378336f);
    p = fmaf(p, r, 0.041666504f);
    p = fmaf(p, r, 0.166665733f);
    p = fmaf(p, r, 0.5f);
    return float_scale(fmaf(r * r, p, r) + 1.0f, n);
}

INLINE float log_normal(int bits, int extra_exponent) {
    int exponent = int_subtract(bits, 0x3f3504f3) >> 23;
    float f = __int_as_float(int_subtract(bits, (int)((unsigned)exponent << 23))) - 1.0f;
    float e = (float)(exponent + extra_exponent);
    float p = 0.0714671686f;
    p = fmaf(p, f, -0.115661427f);
    p = fmaf(p, f, 0.116602592f);
    p = fmaf(p, f, -0.124118336f);
    p = fmaf(p, f, 0.142501935f);
    p = fmaf(p, f, -0.166684434f);
    p = fmaf(p, f, 0.200006947f);
    p = fmaf(p, f, -0.249999896f);
    p = fmaf(p, f, 0.333333313f);
    float square = f * f, cube = square * f;
    float sum = fmaf(e, 1.42860677e-06f, cube * p);
    sum = fmaf(square, -0.5f, sum) + f;
    return fmaf(e, 0.693145752f, sum);
}

INLINE float float_log(float x) {
    bool is_small = x < 1.17549435e-38f;
    float y = log_normal(__float_as_int(is_small ? x * 8388608.0f : x), is_small ? -23 : 0);
    y = x < INFINITE ? y : x;
    float outside = x == 0.0f ? -INFINITE : NOT_A_NUMBER;
    return x <= 0.0f ? outside : y;
}

// ---- tanh and erf, as codegen/cpu/math_sigmoid.c has them

INLINE float float_tanh(float x) {
    float size = fabsf(x), z = x * x;
    float p = -0.00609607762f;
    p = fmaf(p, z, 0.0209958367f);
    p = fmaf(p, z, -0.0538502075f);
    p = fmaf(p, z, 0.133327574f);
    p = fmaf(p, z, -0.333333284f);
    float near = fmaf(p * z, size, size);
    float far = 1.0f - 2.0f / (float_exp(size + size) + 1.0f);
    return copysignf(size < 0.625f ? near : far, x);
}

INLINE float float_erf(float x) {
    float size = fabsf(x), square = x * x;
    float p = 7.06354185e-05f;
    p = fmaf(p, square, -0.000776580535f);
    p = fmaf(p, square, 0.00516025955f);
    p = fmaf(p, square, -0.0268392228f);
    p = fmaf(p, square, 0.112832561f);
    p = fmaf(p, square, -0.376126021f);
    p = fmaf(p, square, 0.128379166f);
    float near = fmaf(p, size, size);
    float limited = size < 4.0f ? size : 4.0f;
    float g = -0.000300075801f;
    g = fmaf(g, limited, 0.00485711312f);
    g = fmaf(g, limited, -0.0347621143f);
    g = fmaf(g, limited, 0.14567475f);
    g = fmaf(g, limited, -0.399509519f);
    g = fmaf(g, limited, 0.759567142f);
    g = fmaf(g, limited, -1.02970445f);
    g = fmaf(g, limited, 0.981758595f);
    float far = fmaf(-g, float_exp(-square), 1.0f);
    return copysignf(size < 1.125f ? near : far, x);
}

// ---- sin and cos, as codegen/cpu/math_circular.c has them; beyond 2^30 the platform's own

INLINE float circular(float x, int quarters) {
    double n = rint((double)x * 0.63661977236758138);
    float r = (float)fma(n, -6.123233995736766e-17, fma(n, -1.5707963267948966, (double)x));
    int turn = int_add((int)n, quarters);
    float z = r * r;
    float s = 2.91658807e-06f;
    s = fmaf(s, z, -0.000198608395f);
    s = fmaf(s, z, 0.00833339617f);
    s = fmaf(s, z, -0.166666672f);
    float c = 2.45436258e-05f;
    c = fmaf(c, z, -0.00138882711f);
    c = fmaf(c, z, 0.0416666642f);
    c = fmaf(c, z, -0.5f);
    float value = turn & 1 ? fmaf(c, z, 1.0f) : fmaf(s * z, r, r);
    return turn & 2 ? -value : value;
}

// Below 2^-12 the sine rounds to x itself.
INLINE float float_sin(float x) {
    float size = fabsf(x);
    if (size >= 1073741824.0f) return sinf(x);
    return size >= 0.000244140625f ? circular(x, 0) : x;
}

INLINE float float_cos(float x) {
    float size = fabsf(x);
    if (size >= 1073741824.0f) return cosf(x);
    return size == size ? circular(x, 1) : x;
}

// ---- random numbers: Threefry-2x32 with 20 rounds (Salmon, Moraes, Dror, Shaw, SC 2011)

typedef struct {
    unsigned x, y;
} Pair;

INLINE unsigned rotate_left(unsigned value, int distance) { return value << distance | value >> (32 - distance); }

INLINE Pair threefry(Pair key, Pair counter) {
    const int rotations[8] = {13, 15, 26, 6, 17, 29, 16, 24};
    const unsigned keys[3] = {key.x, key.y, key.x ^ key.y ^ 0x1BD11BDAu};
    unsigned x = counter.x + key.x, y = counter.y + key.y;
    UNROLL
    for (int round = 0; round < 20; round++) {
        x += y;
        y = rotate_left(y, rotations[round % 8]) ^ x;
        if (round % 4 != 3) continue;
        int injection = round / 4 + 1;
        x += keys[injection % 3];
        y += keys[(injection + 1) % 3] + (unsigned)injection;
    }
    Pair result = {x, y};
    return result;
}

INLINE Pair random_key(int seed, unsigned site, int step, int micro) {
    Pair key = {(unsigned)seed, site}, counter = {(unsigned)step, (unsigned)micro};
    return threefry(key, counter);
}

INLINE float random_at(Pair key, unsigned index) {
    Pair counter = {index, 0};
    return (float)(threefry(key, counter).x >> 8) * 5.9604644775390625e-08f;
}
