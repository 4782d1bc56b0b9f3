// Runs the sinter program in a shell, in a temporary folder of the test. Names of files are relative to that folder.
#ifndef SINTER_TESTS_E2E_RUN_H
#define SINTER_TESTS_E2E_RUN_H

#include <stddef.h>

#include "base/memory.h"

extern char run_folder[];
int run_setup(void **state);      // makes the folder; for cmocka
int run_teardown(void **state);

// Exit code of `sinter ARGUMENTS`; what both streams say is in the file `log`.
int run_sinter(const char *format, ...) __attribute__((format(printf, 1, 2)));
// Exit code of commands in the folder, for which $SINTER is the program.
int run_shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
void run_show_log(void);

// Fails the test unless `status` is the code and the log has the fragment. `what` was run.
void expect_log(int status, int code, const char *fragment, const char *what);
// The same of `sinter ARGUMENTS`, which it runs.
void expect(int code, const char *fragment, const char *arguments);

char *read_file(Arena *arena, const char *name);   // also an absolute path
void write_bytes(const char *name, const void *bytes, size_t count);
void write_text(const char *name, const char *text);
void write_tokens(const char *name, int count);    // all of them below 5

#endif
