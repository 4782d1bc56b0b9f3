// Many normals at once, with the bits of random_normals, one by one:
//
//     random_normals(random_bits(key, k), &first, &second)
//     values[2k] = (float)(deviation * first)      values[2k + 1] = (float)(deviation * second)
#ifndef SINTER_RUNTIME_NORMALS_H
#define SINTER_RUNTIME_NORMALS_H

#include <stdbool.h>
#include <stdint.h>

// Elements first to first + count of that series; `first` is even, deviation >= 0.
void normals_fill(uint64_t key, double deviation, int64_t first, int64_t count, float *values);

// The same by one instruction set; normals_fill takes the last one that this machine has.
typedef enum { NORMALS_ANY, NORMALS_AVX2, NORMALS_AVX512, NORMALS_SETS } NormalsSet;
bool normals_has(NormalsSet set);
void normals_fill_by(NormalsSet set, uint64_t key, double deviation, int64_t first, int64_t count, float *values);

#endif
