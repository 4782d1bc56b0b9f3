// A test that cannot run here: it says why, and is named when all are done (tests/skipped.cmake).
//
//     if (!nvrtc) SKIP_TEST("libnvrtc.so.13 was not found");
#ifndef SINTER_TESTS_SKIPPED_H
#define SINTER_TESTS_SKIPPED_H

#include <stdio.h>
#include <stdlib.h>

#define SKIP_TEST(why)                     \
    do {                                   \
        note_skipped(__FILE__, __func__, why); \
        skip();                            \
    } while (0)

// ctest gives the file's name; without one there is nobody to read it.
static inline void note_skipped(const char *file, const char *test, const char *why) {
    const char *path = getenv("SINTER_SKIPPED");
    FILE *list = path ? fopen(path, "a") : NULL;
    printf("SKIP: %s: %s\n", test, why);
    if (!list) return;
    fprintf(list, "%s: %s: %s\n", file, test, why);
    fclose(list);
}

#endif
