// 16-bit floating-point numbers: every one of them, and what lies between two.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/half.h"

typedef struct {
    uint16_t (*from_float)(float value);
    float (*to_float)(uint16_t half);
    uint16_t infinity;
    float largest, least;   // finite; above 0
} Format;

static const Format formats[] = {{bf16_from_float, float_from_bf16, 0x7f80, 0x1.fep127f, 0x1p-133f},
                                 {f16_from_float, float_from_f16, 0x7c00, 65504, 0x1p-24f}};

static void values_are_what_the_bits_say(void **state) {
    (void)state;
    for (int f = 0; f < 2; f++) {
        const Format *format = &formats[f];
        assert_true(format->to_float(0) == 0 && format->to_float(1) == format->least);
        assert_true(format->to_float((uint16_t)(format->infinity - 1)) == format->largest);
        assert_true(isinf(format->to_float(format->infinity)));
        assert_true(isnan(format->to_float((uint16_t)(format->infinity + 1))));
        assert_true(signbit(format->to_float(0x8000)));
    }
    assert_true(float_from_f16(0x3c00) == 1 && float_from_f16(0xc000) == -2 && float_from_f16(0x3555) == 0x1.554p-2f);
    assert_true(float_from_bf16(0x3f80) == 1 && float_from_bf16(0xc040) == -3);
}

// a is even or b is: halfway goes there, and what is nearer to one goes to that one.
static void check_between(const Format *format, uint16_t a) {
    float low = format->to_float(a), high = format->to_float((uint16_t)(a + 1));
    bool is_last = a + 1 == format->infinity;
    if (is_last) high = low + (low - format->to_float((uint16_t)(a - 1)));
    if (isinf(high)) return;   // of bf16: f32 has nothing between that and infinity but what rounds there
    float middle = low / 2 + high / 2;
    if (low < 0x1p-120f && format->infinity == 0x7f80) middle = (low + high) / 2;
    uint16_t even = a % 2 ? (uint16_t)(a + 1) : a;
    assert_int_equal(format->from_float(middle), even);
    assert_int_equal(format->from_float(nextafterf(middle, 0)), a);
    assert_int_equal(format->from_float(nextafterf(middle, INFINITY)), a + 1);
    assert_int_equal(format->from_float(-middle), even | 0x8000);
}

static void every_number_comes_back_and_others_go_to_the_nearest(void **state) {
    (void)state;
    for (int f = 0; f < 2; f++) {
        const Format *format = &formats[f];
        for (uint32_t half = 0; half < format->infinity; half++) {
            assert_int_equal(format->from_float(format->to_float((uint16_t)half)), half);
            assert_int_equal(format->from_float(-format->to_float((uint16_t)half)), half | 0x8000);
            check_between(format, (uint16_t)half);
        }
    }
}

static void overflow_is_infinite(void **state) {
    (void)state;
    for (int f = 0; f < 2; f++) {
        const Format *format = &formats[f];
        assert_int_equal(format->from_float(INFINITY), format->infinity);
        assert_int_equal(format->from_float(-INFINITY), format->infinity | 0x8000);
        assert_true(isnan(format->to_float(format->from_float(NAN))));
    }
    assert_int_equal(f16_from_float(65519.996f), 0x7bff);
    assert_int_equal(f16_from_float(65520), 0x7c00);
    assert_int_equal(f16_from_float(0x1p126f), 0x7c00);
    assert_int_equal(f16_from_float(0x1p-25f), 0);
    assert_int_equal(f16_from_float(0x1.01p-25f), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_what_the_bits_say),
        cmocka_unit_test(every_number_comes_back_and_others_go_to_the_nearest),
        cmocka_unit_test(overflow_is_infinite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
