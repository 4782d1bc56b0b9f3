#include "runtime/interrupt.h"

#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t requested;
static struct sigaction before_interrupt, before_terminate;
static int depth;   // of installs that are not yet restored

static void request_stop(int signal) {
    (void)signal;
    requested = 1;
}

void interrupt_install(void) {
    if (depth++ > 0) return;
    struct sigaction action = {.sa_handler = request_stop};
    sigemptyset(&action.sa_mask);
    action.sa_flags = (int)SA_RESETHAND | SA_RESTART; // the second signal finds the default: the process ends
    requested = 0;
    sigaction(SIGINT, &action, &before_interrupt);
    sigaction(SIGTERM, &action, &before_terminate);
}

bool interrupt_requested(void) {
    return requested != 0;
}

void interrupt_restore(void) {
    if (depth == 0 || --depth > 0) return;
    sigaction(SIGINT, &before_interrupt, NULL);
    sigaction(SIGTERM, &before_terminate, NULL);
}
