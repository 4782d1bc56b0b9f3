// Runs the sinter program in a shell, in a temporary folder of the test.
#ifndef SINTER_TESTS_E2E_RUN_H
#define SINTER_TESTS_E2E_RUN_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

static char run_folder[] = "/tmp/sinter-e2e-XXXXXX";

static inline int run_setup(void **state) {
    (void)state;
    return mkdtemp(run_folder) ? 0 : -1;
}

static inline int run_teardown(void **state) {
    (void)state;
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", run_folder);
    return system(command) == 0 ? 0 : -1;
}

// Exit code of `SINTER arguments`, both output streams in FOLDER/log.
__attribute__((format(printf, 1, 2))) static inline int run_sinter(const char *format, ...) {
    char arguments[3000], command[4000];
    va_list list;
    va_start(list, format);
    vsnprintf(arguments, sizeof arguments, format, list);
    va_end(list);
    snprintf(command, sizeof command, "cd %s && timeout 300 %s %s >log 2>&1", run_folder, SINTER, arguments);
    int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static inline void run_show_log(void) {
    char command[200];
    snprintf(command, sizeof command, "tail -n 20 %s/log", run_folder);
    if (system(command) != 0) puts("no log");
}

#endif
