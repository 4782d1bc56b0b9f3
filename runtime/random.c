#include "runtime/random.h"

#include <math.h>

static uint32_t rotate(uint32_t word, int bits) {
    return (word << bits) | (word >> (32 - bits));
}

uint64_t random_bits(uint64_t key, uint64_t counter) {
    static const int rotations[8] = {13, 15, 26, 6, 17, 29, 16, 24};
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    uint32_t keys[3] = {k0, k1, UINT32_C(0x1BD11BDA) ^ k0 ^ k1};
    uint32_t x0 = (uint32_t)counter + k0, x1 = (uint32_t)(counter >> 32) + k1;
    for (uint32_t round = 0; round < 20; round++) {
        x0 += x1;
        x1 = rotate(x1, rotations[round % 8]) ^ x0;
        if (round % 4 == 3) { // the key is mixed in again after every fourth round
            uint32_t injection = round / 4 + 1;
            x0 += keys[injection % 3];
            x1 += keys[(injection + 1) % 3] + injection;
        }
    }
    return (uint64_t)x1 << 32 | x0;
}

uint64_t random_key(uint64_t seed, const char *name) {
    uint32_t hash = UINT32_C(2166136261);
    for (const unsigned char *byte = (const unsigned char *)name; *byte; byte++)
        hash = (hash ^ *byte) * UINT32_C(16777619);
    return (uint64_t)hash << 32 | (uint32_t)(seed ^ seed >> 32);
}

double random_uniform(uint64_t bits) {
    return (double)(bits >> 11) * 0x1p-53;
}

// The high word of bits * limit (Lemire, ACM TOMACS 2019, without the rejection: the bias is below limit / 2^64).
uint64_t random_below(uint64_t bits, uint64_t limit) {
    return (uint64_t)(((unsigned __int128)bits * limit) >> 64);
}

void random_normals(uint64_t bits, double *first, double *second) {
    static const double tau = 6.28318530717958647692;
    double radius = sqrt(-2.0 * log(((double)(uint32_t)bits + 1.0) * 0x1p-32)); // of (0, 1]: never log(0)
    double angle = tau * ((double)(bits >> 32) * 0x1p-32);
    *first = radius * cos(angle);
    *second = radius * sin(angle);
}
