// Counter-based random bits: Threefry-2x32, 20 rounds (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy
// as 1, 2, 3", SC 2011). A pure function of key and counter: no state, any order, any thread.
#ifndef SINTER_RUNTIME_RANDOM_H
#define SINTER_RUNTIME_RANDOM_H

#include <stdint.h>

// Key and counter of two 32-bit words each (low word first); 64 random bits.
uint64_t random_bits(uint64_t key, uint64_t counter);
// A key for one purpose: the seed folded to 32 bits, and the FNV-1a hash of a name.
uint64_t random_key(uint64_t seed, const char *name);
double random_uniform(uint64_t bits);                      // [0, 1), 53 bits
uint64_t random_below(uint64_t bits, uint64_t limit);      // 0 <= result < limit; limit >= 1
// Two standard normals by Box and Muller (1958) from one draw.
void random_normals(uint64_t bits, double *first, double *second);

#endif
