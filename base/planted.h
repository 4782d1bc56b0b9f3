// Planted bugs: slips that could happen, one line each, for testing the tests. They exist only in the test library that
// is compiled with SINTER_PLANTED; in every other build PLANTED(name) is the constant 0, and the compiler removes them.
//
//     NodeId entry = stack->operands[PLANTED(select_of_stack_off_by_one) ? i - 1 : i];
#ifndef SINTER_BASE_PLANTED_H
#define SINTER_BASE_PLANTED_H

#ifdef SINTER_PLANTED
#include <stdatomic.h>
#include <stdint.h>

typedef enum {
    PLANT_NONE,
#define PLANT(name, place, what) PLANT_##name,
#include "base/planted.def"
#undef PLANT
    PLANT_COUNT
} Plant;
extern Plant planted;                   // the one that is on: tests/fuzz/test_planted.c
extern _Atomic uint64_t *plants_reached; // a bit for each that was asked for: until then a run is as without it
#define PLANTED(name) \
    (atomic_fetch_or_explicit(plants_reached, (uint64_t)1 << PLANT_##name, memory_order_relaxed), \
     planted == PLANT_##name)
#else
#define PLANTED(name) 0
#endif

#endif
