// The loops of probe_kernels.c for one vector width; included once per width with
//     NAME(x)       x with a suffix            TARGET        target attribute of the functions
//     WIDTH         bytes of a vector          CHAINS        independent multiply-adds in flight
//     MULTIPLY_ADD(a, b, c) = a * b + c        KEEP(value)   an empty asm statement that needs `value` in a register
// (no include guard: it is a template)

typedef float NAME(vector) __attribute__((vector_size(WIDTH)));
typedef float NAME(unaligned) __attribute__((vector_size(WIDTH), aligned(4), may_alias));

// A multiply-add takes about 4 cycles and two can start per cycle, so at least 8 chains keep the units busy.
TARGET static float NAME(multiply_add)(int64_t repeats) {
    NAME(vector) chain[CHAINS], factor, offset;
    for (int lane = 0; lane < WIDTH / 4; lane++) {
        factor[lane] = 0.999f;
        offset[lane] = 0.001f;
    }
    KEEP(factor);
    KEEP(offset);
#pragma GCC unroll 32
    for (int c = 0; c < CHAINS; c++)
        chain[c] = offset * (float)c;
    for (int64_t r = 0; r < repeats; r++) {
#pragma GCC unroll 32
        for (int c = 0; c < CHAINS; c++) {
            chain[c] = MULTIPLY_ADD(chain[c], factor, offset);
            KEEP(chain[c]);
        }
    }
#pragma GCC unroll 32
    for (int c = 1; c < CHAINS; c++)
        chain[0] += chain[c];
    return chain[0][0];
}

TARGET static float NAME(sum)(const float *values, size_t count) {
    NAME(vector) total[4] = {{0}};
    for (size_t i = 0; i < count; i += WIDTH) {  // four vectors at a time
#pragma GCC unroll 4
        for (size_t v = 0; v < 4; v++)
            total[v] += *(const NAME(unaligned) *)(values + i + v * (WIDTH / 4));
    }
    total[0] += total[1] + total[2] + total[3];
    return total[0][0];
}

TARGET static void NAME(triad)(float *out, const float *a, const float *b, size_t count) {
    for (size_t i = 0; i < count; i += WIDTH / 4)
        *(NAME(unaligned) *)(out + i) = *(const NAME(unaligned) *)(a + i) + 3.0f * *(const NAME(unaligned) *)(b + i);
}

static const ProbeKernel NAME(kernel) = {
    .vector_bytes = WIDTH,
    .vector_registers = REGISTERS,
    .flops_per_repeat = 2.0 * CHAINS * WIDTH / 4,
    .multiply_add = NAME(multiply_add),
    .sum = NAME(sum),
    .triad = NAME(triad),
};

#undef NAME
#undef TARGET
#undef WIDTH
#undef REGISTERS
#undef CHAINS
#undef MULTIPLY_ADD
#undef KEEP
