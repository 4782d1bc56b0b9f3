// Files that --tune stored, as tests read and change them.
#ifndef SINTER_TESTS_E2E_TUNED_H
#define SINTER_TESTS_E2E_TUNED_H

#include "base/memory.h"

// The file that a log says it stored.
const char *tuned_path(Arena *arena, const char *log);
// Puts lines of choices into a stored file, as if a longer search had found them.
void tuned_store(Arena *arena, const char *path, const char *lines);

#endif
