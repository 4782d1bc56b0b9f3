// No memory is ever writable and executable at once: not while code is made, not while it runs.
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <pthread.h>

#include "sinter.h"

static atomic_bool is_over;
static atomic_int looks;
static char found[200];

// A mapping that can be written and executed; false when there is none. `executable`: those that can be executed.
static bool look(int *executable) {
    FILE *file = fopen("/proc/self/maps", "r");
    char line[4200], rights[8];
    bool wrong = false;
    *executable = 0;
    while (file && fgets(line, sizeof line, file)) {
        if (sscanf(line, "%*s %7s", rights) != 1) continue;
        *executable += rights[2] == 'x';
        if (rights[1] != 'w' || rights[2] != 'x') continue;
        snprintf(found, sizeof found, "%.190s", line);
        wrong = true;
    }
    if (file) fclose(file);
    return wrong;
}

static void *watch(void *context) {
    bool *wrong = context;
    int executable;
    while (!is_over) {
        *wrong |= look(&executable);
        looks++;
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    }
    return NULL;
}

static void no_memory_is_writable_and_executable(void **state) {
    (void)state;
    static const char *const settings[] = {"n_layer=2",    "n_head=2",     "n_embd=32",
                                           "batch_size=2", "block_size=8", "vocab_size=5"};
    int before, after;
    assert_false(look(&before));
    pthread_t thread;
    bool wrong = false;
    assert_int_equal(pthread_create(&thread, NULL, watch, &wrong), 0);
    SinterModel *model = sinter_open(NULL, "gpt2", settings, 6, 2);
    assert_non_null(model);
    assert_false(look(&after));
    int32_t tokens[16] = {0, 1, 2, 3}, targets[16] = {1, 2, 3, 4};
    for (int step = 0; step < 50; step++)
        sinter_step(model, tokens, targets, 1e-3);
    is_over = true;
    pthread_join(thread, NULL);
    sinter_close(model);
    if (wrong) fail_msg("writable and executable: %s", found);
    assert_true(after > before); // the generated code was among what was looked at
    assert_true(looks > 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_memory_is_writable_and_executable)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
