// Files of the repository as samples for mutation.
#ifndef SINTER_TESTS_ROBUST_SAMPLES_H
#define SINTER_TESTS_ROBUST_SAMPLES_H

#include "tests/robust/mutate.h"

typedef struct {
    Arena *arena;
    Bytes *list;
    size_t count, capacity;
} Samples;

void samples_add(Samples *samples, const char *bytes, size_t length);
// Every file below the folder (of the source tree, one level of folders deep) whose name ends so and that is not longer
// than `longest` bytes.
void samples_add_file(Samples *samples, const char *file);
void samples_add_files(Samples *samples, const char *folder, const char *ending, size_t longest);
Source samples_source(const Samples *samples, const char *const *words);

// Bytes as a file that the readers of the program open by name, without a disk: every path is this file.
void memory_file_install(Bytes bytes);
void memory_file_remove(void);

#endif
