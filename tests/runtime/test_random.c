// Threefry-2x32-20 against the known answers of its authors' library (Random123, kat_vectors), and what is built on it.
#include "support.h"

#include <math.h>

#include "runtime/normals.h"
#include "runtime/random.h"

static uint64_t words(uint32_t low, uint32_t high) {
    return (uint64_t)high << 32 | low;
}

static void known_answers(void **state) {
    (void)state;
    assert_true(random_bits(0, 0) == words(0x6b200159, 0x99ba4efe));
    assert_true(random_bits(UINT64_MAX, UINT64_MAX) == words(0x1cb996fc, 0xbb002be7));
    uint64_t counter = words(0x243f6a88, 0x85a308d3), key = words(0x13198a2e, 0x03707344);
    assert_true(random_bits(key, counter) == words(0xc4923a9c, 0x483df7a0));
}

static void keys_differ(void **state) {
    (void)state;
    assert_true(random_key(1, "a") != random_key(1, "b"));
    assert_true(random_key(1, "a") != random_key(2, "a"));
    assert_true(random_key(1, "a") != random_key(UINT64_C(1) << 40, "a"));
    assert_true(random_key(0, "a") >> 32 == 0xe40c292c); // FNV-1a of "a"
}

static void uniform_in_range(void **state) {
    (void)state;
    assert_true(random_uniform(0) == 0.0);
    assert_true(random_uniform(UINT64_MAX) < 1.0);
    assert_true(random_below(UINT64_MAX, 7) == 6);
    assert_true(random_below(0, 7) == 0);
    int counts[7] = {0};
    for (uint64_t i = 0; i < 70000; i++)
        counts[random_below(random_bits(5, i), 7)]++;
    for (int i = 0; i < 7; i++)
        assert_in_range(counts[i], 9500, 10500);
}

static void normal_moments(void **state) {
    (void)state;
    double sum = 0, squares = 0, fourth = 0;
    enum { PAIRS = 100000 };
    for (uint64_t i = 0; i < PAIRS; i++) {
        double pair[2];
        random_normals(random_bits(random_key(7, "w"), i), &pair[0], &pair[1]);
        for (int k = 0; k < 2; k++) {
            sum += pair[k];
            squares += pair[k] * pair[k];
            fourth += pair[k] * pair[k] * pair[k] * pair[k];
        }
    }
    assert_true(fabs(sum / (2 * PAIRS)) < 0.01);
    assert_true(fabs(squares / (2 * PAIRS) - 1) < 0.02);
    assert_true(fabs(fourth / (2 * PAIRS) - 3) < 0.1);
    double first, second;
    random_normals(0, &first, &second);
    assert_true(isfinite(first) && isfinite(second));
    random_normals(UINT64_MAX, &first, &second);
    assert_true(isfinite(first) && isfinite(second));
}

// Every instruction set that this machine has, against one draw after the other.
static void normals_in_lanes(void **state) {
    (void)state;
    enum { COUNT = 60001 };
    static float values[COUNT];
    static const int64_t firsts[] = {0, 2, 130, INT64_C(1) << 33};
    static const double deviations[] = {1, 0.02, 0};
    for (NormalsSet set = 0; set < NORMALS_SETS; set++) {
        if (!normals_has(set)) continue;
        for (int trial = 0; trial < 12; trial++) {
            uint64_t key = random_key(7, trial < 6 ? "w" : "b");
            double deviation = deviations[trial % 3], normals[2];
            int64_t first = firsts[trial % 4];
            normals_fill_by(set, key, deviation, first, COUNT, values);
            for (int64_t i = 0; i < COUNT; i++) {
                if (i % 2 == 0) random_normals(random_bits(key, (uint64_t)(first + i) / 2), &normals[0], &normals[1]);
                assert_true(values[i] == (float)(deviation * normals[i % 2]));
            }
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(keys_differ),
        cmocka_unit_test(uniform_in_range),
        cmocka_unit_test(normal_moments),
        cmocka_unit_test(normals_in_lanes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
