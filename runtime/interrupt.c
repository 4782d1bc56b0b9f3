#include "runtime/interrupt.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

static volatile sig_atomic_t requested;
static volatile int64_t first_time; // of the request, in nanoseconds
static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
enum { SIGNALS = sizeof numbers / sizeof *numbers };
static struct sigaction before[SIGNALS];
static int depth;   // of installs that are not yet restored

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time); // allowed in handlers, as signal and raise are
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

// One request often comes as several signals: timeout(1) sends one to the process and one to its group, schedulers send
// one to every process of a job.
static void request_stop(int number) {
    enum { ONE_REQUEST = 100000000 };
    int error = errno;
    if (!requested) {
        first_time = now();
        requested = 1;
    } else if (now() - first_time > ONE_REQUEST) {
        signal(number, SIG_DFL);
        raise(number);
    }
    errno = error;
}

// What a shell has told this process to ignore (nohup, a job in the background) stays ignored.
void interrupt_install(void) {
    if (depth++ > 0) return;
    struct sigaction action = {.sa_handler = request_stop, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < SIGNALS; i++)
        sigaddset(&action.sa_mask, numbers[i]);
    requested = 0;
    for (int i = 0; i < SIGNALS; i++) {
        sigaction(numbers[i], NULL, &before[i]);
        if (before[i].sa_handler != SIG_IGN) sigaction(numbers[i], &action, NULL);
    }
}

bool interrupt_requested(void) {
    return requested != 0;
}

void interrupt_restore(void) {
    if (depth == 0 || --depth > 0) return;
    for (int i = 0; i < SIGNALS; i++)
        sigaction(numbers[i], &before[i], NULL);
}
