// A block of draws at a time, in the lanes of vectors, by series of our own for log, cos and sin.
//
// The series are not the C library's, whose last bit may be another one. But the results are floats: a double that is
// wrong by less than `error` rounds to the right float unless the middle of two floats is that near (Ziv's test, ACM
// TOMS 1991). Then the block is made again by the library. So the bits are those of random_normals with every
// instruction set.
#include "runtime/normals.h"

#include <string.h>

#include "runtime/random.h"

enum { LANES = 64 };
// Of (radius + 1) * deviation. The series and the library agree to 1e-15 of it.
#define RELATIVE_ERROR 1e-13

typedef union {
    double real;
    uint64_t word;
} Bits;

static const int rotations[8] = {13, 15, 26, 6, 17, 29, 16, 24};

#if defined(__x86_64__)
#define NAME(x) x##_512
#define TARGET __attribute__((target("avx512f,avx512dq")))
#include "runtime/normals_template.h"

#define NAME(x) x##_256
#define TARGET __attribute__((target("avx2")))
#include "runtime/normals_template.h"
#endif

#define NAME(x) x##_any
#define TARGET
#include "runtime/normals_template.h"

typedef bool (*Block)(uint64_t key, uint64_t first, double deviation, float *values);

#if defined(__x86_64__)
static const Block blocks[NORMALS_SETS] = {block_any, block_256, block_512};

bool normals_has(NormalsSet set) {
    if (set == NORMALS_AVX512) return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq");
    return set == NORMALS_ANY || __builtin_cpu_supports("avx2");
}
#else
static const Block blocks[NORMALS_SETS] = {block_any};

bool normals_has(NormalsSet set) {
    return set == NORMALS_ANY;
}
#endif

static void block_by_library(uint64_t key, uint64_t first, double deviation, float *values) {
    for (uint64_t lane = 0; lane < LANES; lane++) {
        double cosine, sine;
        random_normals(random_bits(key, first + lane), &cosine, &sine);
        values[2 * lane] = (float)(deviation * cosine);
        values[2 * lane + 1] = (float)(deviation * sine);
    }
}

void normals_fill_by(NormalsSet set, uint64_t key, double deviation, int64_t first, int64_t count, float *values) {
    while (count > 0) {
        float results[2 * LANES];
        uint64_t draw = (uint64_t)first / 2;
        int64_t part = count < 2 * LANES ? count : 2 * LANES;
        if (blocks[set](key, draw, deviation, results)) block_by_library(key, draw, deviation, results);
        memcpy(values, results, (size_t)part * sizeof *values);
        first += part;
        values += part;
        count -= part;
    }
}

void normals_fill(uint64_t key, double deviation, int64_t first, int64_t count, float *values) {
    NormalsSet set = NORMALS_SETS - 1;
    while (!normals_has(set)) set--;
    normals_fill_by(set, key, deviation, first, count, values);
}
