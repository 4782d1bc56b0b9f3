// One block of normals.c for one instruction set; included once per set with
//     NAME(x)       x with a suffix            TARGET        target attribute of the functions
// Loops over lanes, which the compiler makes vectors of. (no include guard: it is a template)

// Bits of the draws, in lanes: random_bits for every counter of the block.
TARGET static void NAME(draw)(uint64_t key, uint64_t first, uint32_t *low, uint32_t *high) {
    const uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    const uint32_t keys[3] = {k0, k1, UINT32_C(0x1BD11BDA) ^ k0 ^ k1};
    for (int lane = 0; lane < LANES; lane++) {
        uint32_t x0 = (uint32_t)(first + (uint64_t)lane) + k0, x1 = (uint32_t)((first + (uint64_t)lane) >> 32) + k1;
#pragma GCC unroll 20
        for (uint32_t round = 0; round < 20; round++) {
            x0 += x1;
            x1 = (x1 << rotations[round % 8] | x1 >> (32 - rotations[round % 8])) ^ x0;
            if (round % 4 == 3) {
                x0 += keys[(round / 4 + 1) % 3];
                x1 += keys[(round / 4 + 2) % 3] + round / 4 + 1;
            }
        }
        low[lane] = x0;
        high[lane] = x1;
    }
}

// sqrt(-2 log((low + 1) / 2^32)), by log(f) = 2 atanh((f - 1) / (f + 1)) for f in [sqrt(1/2), sqrt(2)).
TARGET static void NAME(radii)(const uint32_t *low, double *radius) {
    for (int lane = 0; lane < LANES; lane++) {
        const uint64_t root_half = UINT64_C(0x3fe6a09e00000000), two52 = UINT64_C(0x4330000000000000);
        Bits number = {.real = (double)(int32_t)(low[lane] ^ UINT32_C(0x80000000)) + 2147483649.0}, fraction, power;
        uint64_t exponent = (number.word - root_half) >> 52;
        fraction.word = number.word - (exponent << 52);
        power.word = two52 | exponent;
        double s = (fraction.real - 1) / (fraction.real + 1), z = s * s;
        double series = 1.0 / 19;
        series = series * z + 1.0 / 17;
        series = series * z + 1.0 / 15;
        series = series * z + 1.0 / 13;
        series = series * z + 1.0 / 11;
        series = series * z + 1.0 / 9;
        series = series * z + 1.0 / 7;
        series = series * z + 1.0 / 5;
        series = series * z + 1.0 / 3;
        double logarithm = (power.real - 0x1p52 - 32) * 0.69314718055994530942 + (2 * s + 2 * s * z * series);
        radius[lane] = __builtin_sqrt(-2 * logarithm);
    }
}

// cos and sin of high / 2^32 turns: of at most an eighth of a turn, by their series, then turned by whole quarters.
TARGET static void NAME(angles)(const uint32_t *high, double *cosine, double *sine) {
    for (int lane = 0; lane < LANES; lane++) {
        uint32_t quarters = (high[lane] + (UINT32_C(1) << 29)) >> 30;
        double y = (double)(int32_t)(high[lane] - (quarters << 30)) * (6.28318530717958647692 * 0x1p-32), z = y * y;
        double c = 1.0 / 20922789888000.0, s = -1.0 / 1307674368000.0;
        c = c * z - 1.0 / 87178291200.0;
        s = s * z + 1.0 / 6227020800.0;
        c = c * z + 1.0 / 479001600.0;
        s = s * z - 1.0 / 39916800.0;
        c = c * z - 1.0 / 3628800.0;
        s = s * z + 1.0 / 362880.0;
        c = c * z + 1.0 / 40320.0;
        s = s * z - 1.0 / 5040.0;
        c = c * z - 1.0 / 720.0;
        s = s * z + 1.0 / 120.0;
        c = c * z + 1.0 / 24.0;
        s = s * z - 1.0 / 6.0;
        c = c * z - 0.5;
        c = c * z + 1;
        s = s * z * y + y;
        double odd = (double)(int32_t)(quarters & 1), even = 1 - odd;
        double cosine_sign = (double)(1 - (int32_t)((quarters + 1) & 2));
        double sine_sign = (double)(1 - (int32_t)(quarters & 2));
        cosine[lane] = cosine_sign * (even * c + odd * s);
        sine[lane] = sine_sign * (even * s + odd * c);
    }
}

// Results, and whether any is so close to the middle of two floats that rounding is in doubt.
TARGET static bool NAME(finish)(double deviation, const double *radius, const double *cosine, const double *sine,
                                float *values) {
    int doubts = 0;
    for (int lane = 0; lane < LANES; lane++) {
        double error = (radius[lane] + 1) * deviation * RELATIVE_ERROR;
        double first = deviation * (radius[lane] * cosine[lane]), second = deviation * (radius[lane] * sine[lane]);
        values[2 * lane] = (float)first;
        values[2 * lane + 1] = (float)second;
        doubts |= (float)(first - error) != (float)(first + error);
        doubts |= (float)(second - error) != (float)(second + error);
    }
    return doubts;
}

TARGET static bool NAME(block)(uint64_t key, uint64_t first, double deviation, float *values) {
    uint32_t low[LANES], high[LANES];
    double radius[LANES], cosine[LANES], sine[LANES];
    NAME(draw)(key, first, low, high);
    NAME(radii)(low, radius);
    NAME(angles)(high, cosine, sine);
    return NAME(finish)(deviation, radius, cosine, sine, values);
}

#undef NAME
#undef TARGET
