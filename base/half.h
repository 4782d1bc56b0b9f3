// Floating-point numbers of 16 bits, as memory has them: bf16 (8 bits of exponent, 7 of fraction) and IEEE 754's
// binary16, f16 (5 and 10). To the nearest, ties to even; what is not a number stays that. f16 has nothing above 65504:
// from 65520 on it is infinity; below 2^-14 it has steps of 2^-24.
#ifndef SINTER_BASE_HALF_H
#define SINTER_BASE_HALF_H

#include <stdint.h>
#include <string.h>

static inline uint32_t half_bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float half_float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint16_t bf16_from_float(float value) {
    uint32_t bits = half_bits_of(value);
    return (uint16_t)((value != value ? bits | 0x400000 : bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static inline float float_from_bf16(uint16_t half) {
    return half_float_of((uint32_t)half << 16);
}

static inline uint16_t f16_from_float(float value) {
    uint32_t bits = half_bits_of(value), sign = bits >> 16 & 0x8000, size = bits & 0x7fffffff;
    if (size > 0x7f800000) return (uint16_t)(sign | 0x7e00);
    if (size >= 0x477ff000) return (uint16_t)(sign | 0x7c00);   // 65520
    if (size < 0x38800000)                                      // 2^-14: adding 1/2 leaves steps of 2^-24
        return (uint16_t)(sign | (half_bits_of(half_float_of(size) + 0.5f) - 0x3f000000));
    return (uint16_t)(sign | (((size + 0xfff + (size >> 13 & 1)) >> 13) - (112 << 10)));   // 15 for 127 in the exponent
}

static inline float float_from_f16(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, size = half & 0x7fff;
    if (size >= 0x7c00) return half_float_of(sign | 0x7f800000 | size << 13);
    if (size < 0x400) return half_float_of(sign | half_bits_of((float)size * 0x1p-24f));
    return half_float_of(sign | (size + (112 << 10)) << 13);
}

#endif
