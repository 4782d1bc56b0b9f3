// What a whole training takes of the machine's memory, LLVM, weights and checkpoint included, against what it says
// before the first step.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "tests/e2e/run.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { IS_SANITIZED = 1 };   // takes memory of its own
#else
enum { IS_SANITIZED = 0 };
#endif

static double planned_megabytes(void) {
    char path[200], line[1000];
    double parts[3], sum = 0;
    snprintf(path, sizeof path, "%s/log", run_folder);
    FILE *log = fopen(path, "r");
    assert_non_null(log);
    while (fgets(line, sizeof line, log))
        if (sscanf(line, "memory: %lf MB states, %lf MB activations and gradients, %lf MB", &parts[0], &parts[1],
                   &parts[2]) == 3)
            sum = parts[0] + parts[1] + parts[2];
    fclose(log);
    return sum;
}

static void takes_what_it_says(const char *arguments) {
    expect(0, "memory: ", arguments);
    struct rusage usage;
    assert_int_equal(getrusage(RUSAGE_CHILDREN, &usage), 0);   // the largest of them
    double planned = planned_megabytes(), taken = (double)usage.ru_maxrss * 1024 / 1e6;
    assert_true(planned > 500);
    if (!IS_SANITIZED && taken > planned + 120)
        fail_msg("%.1f MB were planned and %.1f MB taken: sinter %s", planned, taken, arguments);
}

// A vocabulary that makes one table larger than the limit: neither weights nor checkpoint may need it twice.
static void a_training_takes_what_it_said(void **state) {
    (void)state;
    write_tokens("tokens.bin", 2000);
    takes_what_it_says("train --n_layer=2 --n_head=2 --n_embd=512 --vocab_size=70000 --block_size=16 --batch_size=2 "
                       "--gradient_accumulation_steps=1 --eval_interval=0 --max_iters=1 --cache=False "
                       "--train_bin=tokens.bin --out_dir=run");
    takes_what_it_says("train --init_from=resume --max_iters=2 --cache=False --out_dir=run");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_training_takes_what_it_said)};
    return cmocka_run_group_tests(tests, run_setup, run_teardown);
}
