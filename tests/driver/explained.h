// Plans of tiny models for tests of reports, and texts that reports must print.
#ifndef SINTER_TESTS_DRIVER_EXPLAINED_H
#define SINTER_TESTS_DRIVER_EXPLAINED_H

#include "driver/explain/explain.h"
#include "frontend/frontend.h"
#include "passes/passes.h"

// The training step of a spec: 3 layers, 2 heads, 8 wide, 2 x 4 tokens of 5, on the default Target.
Explained explained_tiny(Arena *arena, const char *name, const char *source, FuseLevel level);
// The text of tests/driver/<file>; BLESS=1 in the environment writes it.
void assert_golden(const char *file, const char *text, Arena *arena);

#endif
