// exp, log, tanh, erf, sin, cos against the C library in double: 2^20 arguments spread over all bit patterns, and dense
// in the ranges where models live; special values; equal bits for scalars, vectors and tails.
#include "tests/cpu/compile.h"

#include <float.h>
#include <math.h>

typedef struct {
    Op op;
    double (*exact)(double);
    double bound; // ulp
} Case;

static const Case cases[] = {
    {OP_EXP, exp, 2}, {OP_LOG, log, 2}, {OP_TANH, tanh, 4}, {OP_ERF, erf, 4}, {OP_SIN, sin, 4}, {OP_COS, cos, 4},
};
enum { CASES = sizeof(cases) / sizeof(cases[0]), SAMPLES = 1 << 20 };

static TileProgram *pointwise(Arena *arena, Op op, int64_t count, bool scalar) {
    TileBuilder *b = tile_builder(arena, arena_format(arena, "%s_%d", op_name(op), scalar));
    int in = tile_buffer(b, DTYPE_F32, count, false), out = tile_buffer(b, DTYPE_F32, count, true);
    TileValue i = scalar ? tile_loop(b, LOOP_PLAIN, "i", count, 0, 0, false) : lanes(b, count, 64);
    TileValue x = tile_load(b, in, DTYPE_F32, at(0, i, 1, TILE_NONE, 0));
    tile_store(b, out, at(0, i, 1, TILE_NONE, 0), tile_map(b, op, DTYPE_F32, &x, 1));
    tile_end(b);
    return tile_finish(b);
}

// Distance in units of the last place of the f32 nearest to the exact value.
static double ulps(float value, double exact) {
    float nearest = (float)exact;
    if (isnan(nearest) || isinf(nearest)) {
        if (isnan(nearest) ? isnan(value) : value == nearest) return 0;
        // Rounding to infinity begins half a unit above the largest number: that number is one unit away.
        return isinf(nearest) && fabsf(value) == FLT_MAX ? 1 : INFINITY;
    }
    int exponent;
    frexp(exact, &exponent);
    double unit = ldexp(1, (exponent < -125 ? -125 : exponent) - 24);
    return fabs((double)value - exact) / unit;
}

static void check_samples(const Case *c, const float *x, const float *y, int count, double *worst, float *where) {
    for (int i = 0; i < count; i++) {
        double error = ulps(y[i], c->exact(x[i]));
        if (error > *worst) *worst = error, *where = x[i];
    }
}

static void all_bit_patterns(void **state) {
    (void)state;
    Arena *arena = arena_create();
    float *x = memory_allocate(SAMPLES * sizeof(float)), *y = memory_allocate(SAMPLES * sizeof(float));
    for (int k = 0; k < CASES; k++) {
        Compiled compiled = compile(arena, pointwise(arena, cases[k].op, SAMPLES, false));
        double worst = 0;
        float where = 0;
        for (int sweep = 0; sweep < 2; sweep++) {
            // First everything, infinities and NaNs included; then -20 .. 20.
            for (uint32_t i = 0; i < SAMPLES; i++) {
                uint32_t bits = i * 4096u + 1234u;
                memcpy(&x[i], &bits, sizeof(bits));
                if (sweep == 1) x[i] = (float)(-20 + 40.0 * i / SAMPLES);
            }
            compiled.run((void *const[]){x, y}, 0, NULL);
            check_samples(&cases[k], x, y, SAMPLES, &worst, &where);
        }
        print_message("%-5s worst %.3f ulp at %.9g (%a)\n", op_name(cases[k].op), worst, (double)where, (double)where);
        if (worst > cases[k].bound) fail_msg("%s: %.3f ulp at %a", op_name(cases[k].op), worst, (double)where);
        cpu_code_free(compiled.code);
    }
    memory_release(x);
    memory_release(y);
    arena_free(arena);
}

static void special_values(void **state) {
    (void)state;
    static const float x[] = {0.0f,      -0.0f,      INFINITY,  -INFINITY, NAN,      1.0f,        -1.0f,
                              0x1p-149f, -0x1p-149f, 0x1p-126f, 88.72283f, 88.7229f, -103.97207f, -104.1f,
                              -87.4f,    FLT_MAX,    -FLT_MAX,  0x1p30f,   0x1p31f,  1e5f,        1.5707964f};
    enum { COUNT = sizeof(x) / sizeof(x[0]) };
    Arena *arena = arena_create();
    for (int k = 0; k < CASES; k++) {
        Compiled compiled = compile(arena, pointwise(arena, cases[k].op, COUNT, false));
        float y[COUNT];
        compiled.run((void *const[]){(void *)x, y}, 0, NULL);
        for (int i = 0; i < COUNT; i++) {
            double exact = cases[k].exact(x[i]);
            if (ulps(y[i], exact) > cases[k].bound)
                fail_msg("%s(%a) = %a, not %a", op_name(cases[k].op), (double)x[i], (double)y[i], exact);
            if (exact == 0) assert_int_equal(signbit(y[i]) != 0, signbit((float)exact) != 0);
        }
        cpu_code_free(compiled.code);
    }
    arena_free(arena);
}

static void scalars_have_equal_bits(void **state) {
    (void)state;
    enum { COUNT = 1003 };
    Arena *arena = arena_create();
    for (int k = 0; k < CASES; k++) {
        Compiled wide = compile(arena, pointwise(arena, cases[k].op, COUNT, false));
        Compiled narrow = compile_for(arena, pointwise(arena, cases[k].op, COUNT, false), 32, NULL);
        Compiled scalar = compile(arena, pointwise(arena, cases[k].op, COUNT, true));
        float *x = floats(COUNT), *a = floats(COUNT), *b = floats(COUNT), *c = floats(COUNT);
        x[1000] = 3e10f; // one lane that takes the slow way must not change its neighbours
        wide.run((void *const[]){x, a}, 0, NULL);
        narrow.run((void *const[]){x, b}, 0, NULL);
        scalar.run((void *const[]){x, c}, 0, NULL);
        for (size_t i = 0; i < COUNT; i++) {
            if (isnan(a[i]) && isnan(b[i]) && isnan(c[i])) continue;
            assert_same_bits(a[i], b[i], i);
            assert_same_bits(a[i], c[i], i);
        }
        release(x, COUNT), release(a, COUNT), release(b, COUNT), release(c, COUNT);
        cpu_code_free(wide.code), cpu_code_free(narrow.code), cpu_code_free(scalar.code);
    }
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_bit_patterns),
        cmocka_unit_test(special_values),
        cmocka_unit_test(scalars_have_equal_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
