// Signals: one asks, another one ends the process, two at once are one request.
#include "support.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "runtime/interrupt.h"

static void wait_tenths(int tenths) {
    nanosleep(&(struct timespec){tenths / 10, tenths % 10 * 100000000L}, NULL);
}

// How a process ends that gets these signals, so many tenths of a second apart: 0 by itself, else the signal.
static int ends_by(int first, int second, int tenths) {
    pid_t child = fork();
    if (child == 0) {
        interrupt_install();
        raise(first);
        if (!interrupt_requested()) _exit(1);
        wait_tenths(tenths);
        raise(second);
        interrupt_restore();
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status)) assert_int_equal(WEXITSTATUS(status), 0);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void a_second_signal_ends_the_process(void **state) {
    (void)state;
    assert_int_equal(ends_by(SIGTERM, SIGTERM, 2), SIGTERM);
    assert_int_equal(ends_by(SIGINT, SIGINT, 2), SIGINT);
    assert_int_equal(ends_by(SIGTERM, SIGINT, 2), SIGINT);
    assert_int_equal(ends_by(SIGHUP, SIGTERM, 2), SIGTERM);
    assert_int_equal(ends_by(SIGTERM, SIGTERM, 0), 0); // as timeout(1) sends them
    assert_int_equal(ends_by(SIGTERM, SIGHUP, 0), 0);
}

static void ignored_signals_stay_ignored(void **state) {
    (void)state;
    signal(SIGHUP, SIG_IGN);
    interrupt_install();
    raise(SIGHUP);
    assert_false(interrupt_requested());
    interrupt_restore();
    signal(SIGHUP, SIG_DFL);
}

static void pairs_nest(void **state) {
    (void)state;
    interrupt_install();
    interrupt_install();
    raise(SIGTERM);
    interrupt_restore();
    assert_true(interrupt_requested());
    interrupt_restore();
    interrupt_install();
    assert_false(interrupt_requested());
    interrupt_restore();
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_second_signal_ends_the_process),
                                       cmocka_unit_test(ignored_signals_stay_ignored), cmocka_unit_test(pairs_nest)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
